import * as Data from "effect/Data"
import * as Effect from "effect/Effect"
import { type Parsing, refuse } from "./GgufCursor.ts"
import { parseFile } from "./GgufFile.ts"
import { type GgufHeader, parseHeader, type Value } from "./GgufHeader.ts"
import { type ModelTraits, traitsOf } from "./GgufTraits.ts"
import { fileTypes, tensorTypes } from "./GgufTypes.ts"

const kvElementBytes = 2
const batchTokens = 256
const processBytes = 128 * 1024 * 1024

/** The properties of a model from the header of its GGUF file. */
export class Gguf extends Data.Class<{
  /** The size of the file in bytes: that of the weights and the header. */
  readonly sizeBytes: number
  readonly version: number
  readonly architecture: string
  readonly name: string | undefined
  readonly parameters: number
  /** The name of the quantization, such as `Q8_0` or `Q4_K_M`; `unknown` if neither metadata nor tensors determine it. */
  readonly quantisation: string
  /** The training context length in tokens. */
  readonly contextLength: number
  readonly chatTemplate: boolean
  readonly traits: ModelTraits
  readonly blocks: number
  readonly embeddingLength: number
  /** Attention heads per block; the mean if blocks differ. */
  readonly headCount: number
  readonly headCountKv: number
  /** The size of the vocabulary in tokens; 0 if unknown. */
  readonly vocabulary: number
  /** Bytes of the key and value cache per token of context, at 16 bits per number. */
  readonly kvBytesPerToken: number
  /** The number of the model's files, of which this is the first. */
  readonly files: number
}> {
  /** Reads a file's header in bounded chunks, without the weights. */
  static readonly read = Effect.fn("Gguf.read")((path: string) => parseFile(path, parseGguf))

  /**
   * The memory in bytes of a worker with a context of `contextLength` tokens: the weights, the key and value cache, the
   * buffer for a batch of 256 tokens (logits and four activations, 32 bits per number), and 128 MiB for the process. The
   * estimate is slightly high: it ignores the savings of sliding windows and shared caches.
   */
  memoryBytes(contextLength: number): number {
    const computing = batchTokens * (this.vocabulary + 4 * this.embeddingLength) * 4
    return this.sizeBytes + this.kvBytesPerToken * contextLength + computing + processBytes
  }
}

function* parseGguf(sizeBytes: number): Parsing<Gguf> {
  const header = yield* parseHeader(sizeBytes)
  const { metadata } = header
  if (Number(metadata.get("split.no") ?? 0) > 0) {
    return yield* refuse("later_part", "it is a later part of a split model; name the first")
  }
  const architecture = metadata.get("general.architecture")
  if (typeof architecture !== "string" || !/^[\w.-]{1,64}$/.test(architecture)) {
    return yield* refuse("not_a_model", "it names no architecture")
  }
  const fields = new Fields(metadata, architecture)
  const kind = metadata.get("general.type") ?? "model"
  if (kind !== "model") return yield* refuse("not_a_model", `it is of the type '${visible(String(kind))}'`)
  const contextLength = yield* fields.required("context_length", 2 ** 31)
  const blocks = yield* fields.required("block_count", 10_000)
  const embeddingLength = yield* fields.required("embedding_length", 2 ** 20)
  const files = Math.max(fields.count("split.count") ?? 1, 1)
  if (header.tensors === 0 && files === 1) return yield* refuse("not_a_model", "it has no weights")
  const name = metadata.get("general.name")
  const gguf = new Gguf({
    sizeBytes,
    version: header.version,
    architecture,
    name: typeof name === "string" ? visible(name) : undefined,
    parameters: fields.count("general.parameter_count") ?? header.parameters,
    quantisation: quantisation(header),
    contextLength,
    chatTemplate: Boolean(metadata.get("tokenizer.chat_template")),
    traits: traitsOf(metadata, architecture),
    blocks,
    embeddingLength,
    ...attention(fields, blocks, embeddingLength),
    vocabulary: fields.length("tokenizer.ggml.tokens") ?? fields.count(`${architecture}.vocab_size`) ?? 0,
    files
  })
  if (!Number.isSafeInteger(gguf.memoryBytes(contextLength))) {
    return yield* refuse("absurd", "its sizes are larger than any machine")
  }
  return gguf
}

const attention = (fields: Fields, blocks: number, embeddingLength: number) => {
  const headCount = fields.mean("attention.head_count", blocks) ?? 0
  const headCountKv = fields.mean("attention.head_count_kv", blocks) ?? headCount
  const headLength = headCount === 0 ? 0 : embeddingLength / headCount
  const keyLength = fields.mean("attention.key_length", blocks) ?? headLength
  const valueLength = fields.mean("attention.value_length", blocks) ?? headLength
  const kvBytesPerToken = Math.ceil(blocks * headCountKv * (keyLength + valueLength) * kvElementBytes)
  return { headCount, headCountKv, kvBytesPerToken }
}

class Fields {
  private readonly metadata: ReadonlyMap<string, Value>
  private readonly architecture: string

  constructor(metadata: ReadonlyMap<string, Value>, architecture: string) {
    this.metadata = metadata
    this.architecture = architecture
  }

  /** A non-negative integer; any other value counts as absent. */
  count(key: string): number | undefined {
    const value = this.metadata.get(key)
    return typeof value === "number" && Number.isSafeInteger(value) && value >= 0 ? value : undefined
  }

  length(key: string): number | undefined {
    const value = this.metadata.get(key)
    return typeof value === "object" ? value.length : undefined
  }

  /** A value of the architecture, given once or per block. */
  mean(key: string, blocks: number): number | undefined {
    const value = this.metadata.get(`${this.architecture}.${key}`)
    if (typeof value !== "object") return this.count(`${this.architecture}.${key}`)
    if (value.numbers.length === 0 || blocks === 0) return undefined
    const sum = value.numbers.reduce((total, number) => total + number, 0)
    return sum >= 0 ? sum / blocks : undefined
  }

  *required(key: string, max: number): Parsing<number> {
    const value = this.count(`${this.architecture}.${key}`)
    if (value === undefined) {
      return yield* refuse(
        "not_a_model",
        `it has no ${this.architecture}.${key}, so it is not a language model`
      )
    }
    if (value > max) return yield* refuse("absurd", `its ${this.architecture}.${key} is ${value}`)
    return value
  }
}

const quantisation = (header: GgufHeader): string => {
  const fileType = header.metadata.get("general.file_type")
  const named = typeof fileType === "number" ? fileTypes.get(fileType) : undefined
  const main = header.mainType === undefined ? undefined : tensorTypes.get(header.mainType)?.name
  return named ?? main ?? "unknown"
}

/** Sanitizes text from an untrusted file for a terminal. */
const visible = (text: string): string => text.replace(/\p{C}/gu, " ").trim().slice(0, 200)
