import * as Effect from "effect/Effect"
import { Gguf } from "./Gguf.ts"
import { GgufError, parseFile } from "./GgufFile.ts"
import { parseHeader } from "./GgufHeader.ts"

const partName = /-00001-of-(\d{5})\.gguf$/
const mostParts = 1000

/**
 * Reads a model's header. A model that was split into files named `…-00001-of-00003.gguf` is read through its
 * first, and its size and parameters are those of all its files; one that is missing is an error.
 */
export const readWhole = Effect.fn("GgufParts.readWhole")(function* (path: string) {
  const first = yield* Gguf.read(path)
  if (first.files === 1) return first
  const [ending, announced] = partName.exec(path) ?? []
  if (ending === undefined || Number(announced) !== first.files || first.files > mostParts) {
    const reason = `it is the first of ${first.files} files, and its name does not end in -00001-of-NNNNN.gguf`
    return yield* new GgufError({ path, kind: "unsupported", reason })
  }
  const others = Array.from(
    { length: first.files - 1 },
    (_, index) =>
      `${path.slice(0, -ending.length)}-${String(index + 2).padStart(5, "0")}-of-${announced}.gguf`
  )
  const parts = yield* Effect.forEach(others, (other) => parseFile(other, parseHeader))
  return new Gguf({
    ...first,
    sizeBytes: parts.reduce((sum, part) => sum + part.fileBytes, first.sizeBytes),
    parameters: parts.reduce((sum, part) => sum + part.parameters, first.parameters)
  })
})
