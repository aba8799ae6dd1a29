import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import { Gguf } from "./Gguf.ts"
import { GgufError, parseFile } from "./GgufFile.ts"
import { parseHeader } from "./GgufHeader.ts"
import { partsOf } from "./splitFiles.ts"

const maxParts = 1000

/**
 * Reads a model's header. For a model that is split into files named `…-00001-of-00003.gguf`, `path` is the first file, and
 * size and parameters are sums over all files. Fails with the path of a missing file.
 */
export const readModelHeader = Effect.fn("GgufParts.readModelHeader")(function* (path: string) {
  const first = yield* Gguf.read(path)
  if (first.files === 1) return first
  const [, ...others] = partsOf(path)
  if (others.length + 1 !== first.files || first.files > maxParts) {
    const reason = `it is the first of ${first.files} files, and its name does not end in -00001-of-NNNNN.gguf`
    return yield* new GgufError({ path, kind: "unsupported", reason })
  }
  const parts = yield* Effect.forEach(others, (other, index) =>
    Effect.catch(parseFile(other, parseHeader), (error) =>
      Effect.flatMap(isMissing(other), (missing) =>
        missing
          ? new GgufError({ path, kind: "part_missing", reason: missingPart(other, index + 2, first.files) })
          : Effect.fail(error)
      )
    )
  )
  return new Gguf({
    ...first,
    sizeBytes: parts.reduce((sum, part) => sum + part.fileBytes, first.sizeBytes),
    parameters: parts.reduce((sum, part) => sum + part.parameters, first.parameters)
  })
})

const isMissing = (path: string) =>
  FileSystem.FileSystem.use((fs) =>
    Effect.map(
      Effect.orElseSucceed(fs.exists(path), () => true),
      (exists) => !exists
    )
  )

const missingPart = (path: string, part: number, parts: number) =>
  `part ${part} of ${parts} is missing (${path}); download the model again, or copy the part to this folder`
