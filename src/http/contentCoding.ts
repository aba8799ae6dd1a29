import { promisify } from "node:util"
import * as zlib from "node:zlib"
import * as Effect from "effect/Effect"
import * as Predicate from "effect/Predicate"
import * as Schema from "effect/Schema"

type Decode = (bytes: Uint8Array, limit: number) => Promise<Uint8Array>

const gunzip = promisify(zlib.gunzip)
const inflate = promisify(zlib.inflate)
const inflateRaw = promisify(zlib.inflateRaw)
const brotliDecompress = promisify(zlib.brotliDecompress)
const zstdDecompress = promisify(zlib.zstdDecompress)

const decodeGzip: Decode = (bytes, maxOutputLength) => gunzip(bytes, { maxOutputLength })

// RFC 9110 names the zlib format; some clients send the raw one, whose first byte never has the zlib method.
const hasZlibHeader = ([first = 0]: Uint8Array) => (first & 0x0f) === 8

// RFC 9659: a window of at most 8 MB, so that a frame cannot claim memory beyond the limit of its output.
const zstdParams = { [zlib.constants.ZSTD_d_windowLogMax]: 23 }

const decoders: ReadonlyMap<string, Decode> = new Map([
  ["gzip", decodeGzip],
  ["x-gzip", decodeGzip],
  [
    "deflate",
    (bytes, maxOutputLength) => (hasZlibHeader(bytes) ? inflate : inflateRaw)(bytes, { maxOutputLength })
  ],
  ["br", (bytes, maxOutputLength) => brotliDecompress(bytes, { maxOutputLength })],
  ["zstd", (bytes, maxOutputLength) => zstdDecompress(bytes, { maxOutputLength, params: zstdParams })]
])

/** The codings that request bodies may have, as in `Accept-Encoding`. */
export const acceptedCodings = "gzip, deflate, br, zstd"

const maxCodings = 2

/** The body's content coding is not supported. */
export class UnsupportedCoding extends Schema.TaggedError<UnsupportedCoding>()(
  "UnsupportedCoding",
  { coding: Schema.String },
  { httpApiStatus: 415 }
) {
  override get message() {
    return `Content-Encoding '${this.coding.slice(0, 64)}' is not supported; use one of ${acceptedCodings}, or send the body uncompressed`
  }
}

/** The body is not in the coding that its header names. */
export class UndecodableBody extends Schema.TaggedError<UndecodableBody>()(
  "UndecodableBody",
  { coding: Schema.String },
  { httpApiStatus: 400 }
) {
  override get message() {
    return `The body is not valid ${this.coding} data, as Content-Encoding says; check the compression, or send the body uncompressed`
  }
}

/** The decoded body exceeds the limit. */
export class DecodedTooLarge extends Schema.TaggedError<DecodedTooLarge>()("DecodedTooLarge", {}) {}

const decodeOnce = (coding: string, decode: Decode, bytes: Uint8Array, limit: number) =>
  Effect.tryPromise({
    try: () => decode(bytes, limit),
    catch: (error) =>
      Predicate.hasProperty(error, "code") && error.code === "ERR_BUFFER_TOO_LARGE"
        ? new DecodedTooLarge()
        : new UndecodableBody({ coding })
  })

/** The codings of a `Content-Encoding` header in the order they were applied; empty for an unencoded body. */
export const codingsOf = (header: string | undefined): ReadonlyArray<string> =>
  (header ?? "")
    .toLowerCase()
    .split(",")
    .map((coding) => coding.trim())
    .filter((coding) => coding !== "" && coding !== "identity")

/** Fails unless every coding is known. */
export const checkCodings = (codings: ReadonlyArray<string>) => {
  const unknown = codings.find((coding) => !decoders.has(coding))
  if (unknown !== undefined) return Effect.fail(new UnsupportedCoding({ coding: unknown }))
  return codings.length > maxCodings
    ? Effect.fail(new UnsupportedCoding({ coding: codings.join(", ") }))
    : Effect.void
}

/** Decodes a body. Decoding stops as soon as its output exceeds `limit` bytes; no more than that is held. */
export const decodeBody = Effect.fnUntraced(function* (
  codings: ReadonlyArray<string>,
  encoded: Uint8Array,
  limit: number
) {
  let bytes = encoded
  for (const coding of codings.toReversed()) {
    const decode = decoders.get(coding)
    if (decode === undefined) return yield* new UnsupportedCoding({ coding })
    bytes = yield* decodeOnce(coding, decode, bytes, limit)
  }
  return bytes
})
