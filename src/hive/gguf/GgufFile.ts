import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import type * as PlatformError from "effect/PlatformError"
import * as Schema from "effect/Schema"
import { systemProblem } from "../../settings/systemProblem.ts"
import type { Parsing } from "./GgufCursor.ts"

/**
 * A file that cannot be used as a model: not a GGUF, truncated, of an unsupported version or type, with implausible sizes,
 * a GGUF of another kind (an adapter, a vocabulary, a later part of a split model), a split model with a missing part, or
 * an unreadable file.
 */
export class GgufError extends Schema.TaggedError<GgufError>()("GgufError", {
  path: Schema.String,
  kind: Schema.Literals([
    "not_gguf",
    "cut_off",
    "unsupported",
    "absurd",
    "not_a_model",
    "later_part",
    "part_missing",
    "unreadable"
  ]),
  reason: Schema.String
}) {
  override get message() {
    return `${this.path} cannot be used as a model: ${this.reason}`
  }
}

/** Runs a parser over a file, and reads only the bytes that the parser requests. */
export const parseFile = Effect.fnUntraced(function* <A>(
  path: string,
  parser: (fileBytes: number) => Parsing<A>
) {
  const fs = yield* FileSystem.FileSystem
  const unreadable = (error: PlatformError.PlatformError) =>
    new GgufError({ path, kind: "unreadable", reason: `it cannot be read: ${systemProblem(error)}` })
  const info = yield* Effect.mapError(fs.stat(path), unreadable)
  if (info.type !== "File") {
    return yield* new GgufError({ path, kind: "unreadable", reason: "it is not a regular file" })
  }
  const file = yield* Effect.mapError(fs.open(path), unreadable)
  const parsing = parser(Number(info.size))
  let step = parsing.next()
  while (step.done !== true) {
    if (step.value._tag === "Refuse") {
      return yield* new GgufError({ path, kind: step.value.kind, reason: step.value.reason })
    }
    const bytes = yield* Effect.mapError(readFully(file, step.value.position, step.value.length), unreadable)
    step = parsing.next(bytes)
  }
  return step.value
}, Effect.scoped)

const readFully = Effect.fnUntraced(function* (file: FileSystem.File, position: number, length: number) {
  const buffer = new Uint8Array(length)
  let filled = 0
  while (filled < length) {
    const read = yield* file.read(buffer.subarray(filled), { position: BigInt(position + filled) })
    if (read === 0) break
    filled += read
  }
  return buffer.subarray(0, filled)
})
