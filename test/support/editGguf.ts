import { readFileSync, writeFileSync } from "node:fs"

const tiny = new URL("../../src/worker/tiny/rbee-tiny-novelist-q8_0.gguf", import.meta.url).pathname

const uint32Type = 4
const stringType = 8
const arrayType = 9
const bytesOf: Readonly<Record<number, number>> = {
  0: 1,
  1: 1,
  2: 2,
  3: 2,
  4: 4,
  5: 4,
  6: 4,
  7: 1,
  10: 8,
  11: 8,
  12: 8
}
const fixedHeader = 24
const alignment = 32

const uint32 = (value: number) => {
  const bytes = Buffer.alloc(4)
  bytes.writeUInt32LE(value)
  return bytes
}

const text = (value: string) => {
  const length = Buffer.alloc(8)
  length.writeBigUInt64LE(BigInt(Buffer.byteLength(value)))
  return Buffer.concat([length, Buffer.from(value)])
}

const align = (position: number) => Math.ceil(position / alignment) * alignment

class Cursor {
  readonly bytes: Buffer
  at = fixedHeader

  constructor(bytes: Buffer) {
    this.bytes = bytes
  }

  uint32() {
    this.at += 4
    return this.bytes.readUInt32LE(this.at - 4)
  }

  uint64() {
    this.at += 8
    return Number(this.bytes.readBigUInt64LE(this.at - 8))
  }

  text() {
    const length = this.uint64()
    this.at += length
    return this.bytes.toString("utf8", this.at - length, this.at)
  }

  skipValue(type: number) {
    if (type === stringType) this.text()
    else if (type === arrayType) {
      const element = this.uint32()
      const count = this.uint64()
      for (let i = 0; i < count; i++) this.skipValue(element)
    } else this.at += bytesOf[type] ?? 0
  }
}

/** Metadata to set, as a text or an unsigned 32-bit integer; `undefined` removes the key. */
export type Metadata = Readonly<Record<string, string | number | undefined>>

/**
 * The bytes of a GGUF file with other metadata. A new `general.architecture` renames the keys of the old one, as a file
 * of that architecture has them.
 */
export const editGguf = (source: Buffer, changes: Metadata): Buffer => {
  const cursor = new Cursor(source)
  const tensors = Number(source.readBigUInt64LE(8))
  const entries = new Map<string, Buffer>()
  for (let left = Number(source.readBigUInt64LE(16)); left > 0; left--) {
    const key = cursor.text()
    const from = cursor.at
    cursor.skipValue(cursor.uint32())
    entries.set(key, source.subarray(from, cursor.at))
  }
  const infoFrom = cursor.at
  for (let i = 0; i < tensors; i++) {
    cursor.text()
    for (let dimensions = cursor.uint32(); dimensions > 0; dimensions--) cursor.uint64()
    cursor.uint32()
    cursor.uint64()
  }
  const infos = source.subarray(infoFrom, cursor.at)
  const weights = source.subarray(align(cursor.at))

  for (const [key, value] of Object.entries(changes)) {
    if (value === undefined) entries.delete(key)
    else if (typeof value === "number") entries.set(key, Buffer.concat([uint32(uint32Type), uint32(value)]))
    else entries.set(key, Buffer.concat([uint32(stringType), text(value)]))
  }
  const architecture = changes["general.architecture"]
  const named = [...entries].map(([key, value]): readonly [string, Buffer] =>
    typeof architecture === "string" && key.startsWith("llama.")
      ? [`${architecture}${key.slice("llama".length)}`, value]
      : [key, value]
  )
  const count = Buffer.alloc(8)
  count.writeBigUInt64LE(BigInt(named.length))
  const header = Buffer.concat([
    source.subarray(0, 16),
    count,
    ...named.flatMap(([key, value]) => [text(key), value]),
    infos
  ])
  return Buffer.concat([header, Buffer.alloc(align(header.length) - header.length), weights])
}

/** Writes the model that ships with rbee, with other metadata, to a file. */
export const writeTinyVariant = (file: string, changes: Metadata) =>
  writeFileSync(file, editGguf(readFileSync(tiny), changes))
