/** A metadata value with its type, as a GGUF file stores it. */
export type Field =
  | { readonly type: "uint32" | "uint64" | "float32" | "bool"; readonly value: number }
  | { readonly type: "string"; readonly value: string }
  | { readonly type: "strings"; readonly value: ReadonlyArray<string> }
  | { readonly type: "uint32s"; readonly value: ReadonlyArray<number> }

export interface Tensor {
  readonly name: string
  readonly dimensions: ReadonlyArray<number>
  readonly type: number
  readonly offset?: number
}

export interface Contents {
  readonly version?: number
  readonly fields: Readonly<Record<string, Field>>
  readonly tensors?: ReadonlyArray<Tensor>
  /** Zero bytes after the header. */
  readonly weights?: number
}

const uint32 = (value: number) => {
  const bytes = Buffer.alloc(4)
  bytes.writeUInt32LE(value)
  return bytes
}
const uint64 = (value: number) => {
  const bytes = Buffer.alloc(8)
  bytes.writeBigUInt64LE(BigInt(value))
  return bytes
}
const float32 = (value: number) => {
  const bytes = Buffer.alloc(4)
  bytes.writeFloatLE(value)
  return bytes
}
const text = (value: string) => Buffer.concat([uint64(Buffer.byteLength(value)), Buffer.from(value)])

const field = (field: Field): Buffer => {
  switch (field.type) {
    case "uint32":
      return Buffer.concat([uint32(4), uint32(field.value)])
    case "uint64":
      return Buffer.concat([uint32(10), uint64(field.value)])
    case "float32":
      return Buffer.concat([uint32(6), float32(field.value)])
    case "bool":
      return Buffer.concat([uint32(7), Buffer.from([field.value])])
    case "string":
      return Buffer.concat([uint32(8), text(field.value)])
    case "strings":
      return Buffer.concat([uint32(9), uint32(8), uint64(field.value.length), ...field.value.map(text)])
    case "uint32s":
      return Buffer.concat([uint32(9), uint32(4), uint64(field.value.length), ...field.value.map(uint32)])
  }
}

const tensor = ({ name, dimensions, type, offset = 0 }: Tensor) =>
  Buffer.concat([
    text(name),
    uint32(dimensions.length),
    ...dimensions.map(uint64),
    uint32(type),
    uint64(offset)
  ])

/** The bytes of a GGUF file, right or wrong as the contents say. */
export const writeGguf = ({ version = 3, fields, tensors = [], weights = 0 }: Contents): Buffer => {
  const entries = Object.entries(fields)
  const header = Buffer.concat([
    Buffer.from("GGUF"),
    uint32(version),
    uint64(tensors.length),
    uint64(entries.length),
    ...entries.flatMap(([key, value]) => [text(key), field(value)]),
    ...tensors.map(tensor)
  ])
  return Buffer.concat([header, Buffer.alloc((32 - (header.length % 32)) % 32), Buffer.alloc(weights)])
}

/** A small, whole model: 2 blocks of width 64, and one tensor of 64 times 32 weights in Q8_0. */
export const smallModel: Contents = {
  fields: {
    "general.architecture": { type: "string", value: "llama" },
    "general.name": { type: "string", value: "Small\u001b[31m model" },
    "general.file_type": { type: "uint32", value: 7 },
    "llama.block_count": { type: "uint32", value: 2 },
    "llama.context_length": { type: "uint32", value: 8192 },
    "llama.embedding_length": { type: "uint32", value: 64 },
    "llama.attention.head_count": { type: "uint32", value: 4 },
    "llama.attention.head_count_kv": { type: "uint32", value: 2 },
    "tokenizer.ggml.tokens": { type: "strings", value: ["a", "b", "c"] }
  },
  tensors: [{ name: "token_embd.weight", dimensions: [64, 32], type: 8 }],
  weights: 2176
}
