const mebi = 1024 * 1024

/** The limits of a header; headers of large models have about 12 MB. Sizes in bytes. */
export const headerLimits = {
  header: 64 * mebi,
  string: 16 * mebi,
  arrayItems: 16 * mebi,
  arrayDepth: 4,
  entries: 65_536,
  tensors: 262_144,
  dimensions: 4,
  alignment: mebi
} as const

const chunkBytes = 256 * 1024
const keptStringBytes = 64 * 1024

/** The kind of reason why a file is not usable as a model. */
export type Refusal = "not_gguf" | "cut_off" | "unsupported" | "absurd" | "not_a_model" | "later_part"

/** A request of the parser: to read bytes at a position (fewer only at the end of the file), or to reject the file. */
export type Step =
  | { readonly _tag: "Read"; readonly position: number; readonly length: number }
  | { readonly _tag: "Refuse"; readonly kind: Refusal; readonly reason: string }

/** A parser without I/O: its caller answers each `Read` with bytes. */
export type Parsing<A> = Generator<Step, A, Uint8Array>

/** Rejects the file; the caller does not resume the parser afterwards. */
export function* refuse(kind: Refusal, reason: string): Parsing<never> {
  for (;;) yield { _tag: "Refuse", kind, reason }
}

/** A number format of the file. */
export interface NumberType {
  readonly bytes: number
  readonly read: (view: DataView, at: number) => number
}

/** The parser's position in the file. It buffers one chunk at a time, and checks every length before reading. */
export class Cursor {
  private readonly decoder = new TextDecoder()
  private chunk: Uint8Array = new Uint8Array(0)
  private view = new DataView(this.chunk.buffer)
  private base = 0
  private at = 0
  private readonly fileBytes: number

  constructor(fileBytes: number) {
    this.fileBytes = fileBytes
  }

  get position() {
    return this.base + this.at
  }

  *need(length: number): Parsing<void> {
    if (this.chunk.length - this.at >= length) return
    yield* this.checkBounds(length)
    this.base = this.position
    this.at = 0
    this.chunk = new Uint8Array(0)
    const wanted = Math.min(Math.max(length, chunkBytes), this.fileBytes - this.base)
    const chunk = yield { _tag: "Read", position: this.base, length: wanted }
    if (chunk.length < length) return yield* refuse("cut_off", "it became shorter while it was read")
    this.chunk = chunk
    this.view = new DataView(chunk.buffer, chunk.byteOffset, chunk.byteLength)
  }

  *skip(length: number): Parsing<void> {
    if (this.chunk.length - this.at < length) yield* this.checkBounds(length)
    this.at += length
  }

  *text(): Parsing<string> {
    const length = yield* this.stringLength()
    const kept = Math.min(length, keptStringBytes)
    yield* this.need(kept)
    const text = this.decoder.decode(this.chunk.subarray(this.at, this.at + kept))
    this.at += kept
    yield* this.skip(length - kept)
    return text
  }

  *skipTexts(count: number): Parsing<void> {
    for (let index = 0; index < count; index++) {
      const length = yield* this.stringLength()
      if (this.chunk.length - this.at >= length) this.at += length
      else yield* this.skip(length)
    }
  }

  *uint32(): Parsing<number> {
    yield* this.need(4)
    this.at += 4
    return this.view.getUint32(this.at - 4, true)
  }

  /** Inexact above 2^53, which exceeds every limit. */
  *uint64(): Parsing<number> {
    if (this.chunk.length - this.at < 8) yield* this.need(8)
    const low = this.view.getUint32(this.at, true)
    const high = this.view.getUint32(this.at + 4, true)
    this.at += 8
    return high * 4_294_967_296 + low
  }

  *number(kind: NumberType): Parsing<number> {
    yield* this.need(kind.bytes)
    const value = kind.read(this.view, this.at)
    this.at += kind.bytes
    return value
  }

  private *stringLength(): Parsing<number> {
    const length = yield* this.uint64()
    if (length > headerLimits.string) return yield* refuse("absurd", `it has a string of ${length} bytes`)
    return length
  }

  private *checkBounds(length: number): Parsing<void> {
    const end = this.position + length
    if (end > this.fileBytes) {
      return yield* refuse(
        "cut_off",
        `its header continues past the end of the file at ${this.fileBytes} bytes`
      )
    }
    if (end > headerLimits.header) {
      return yield* refuse("absurd", `its header is longer than ${headerLimits.header} bytes`)
    }
  }
}
