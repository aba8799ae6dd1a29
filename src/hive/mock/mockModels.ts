import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import * as Option from "effect/Option"
import * as Path from "effect/Path"
import * as ModelId from "../models/ModelId.ts"
import { manifestExtension, writeManifest } from "../models/ModelManifest.ts"
import { tinyModelPath } from "../models/TinyModel.ts"

const contextLength = 32_768
const contextKey = Buffer.from("llama.context_length")
const typeBytes = 4

/** A copy of the model that ships with rbee, with a longer context: its header is all that a hive with mock workers reads. */
const withLongContext = (model: Uint8Array) => {
  const bytes = Buffer.from(model)
  const at = bytes.indexOf(contextKey)
  if (at !== -1) bytes.writeUInt32LE(contextLength, at + contextKey.length + typeBytes)
  return bytes
}

/** Fills a models folder with models of these ids, and removes whatever was in it before. */
export const writeMockModels = Effect.fnUntraced(function* (folder: string, ids: ReadonlyArray<string>) {
  const fs = yield* FileSystem.FileSystem
  const path = yield* Path.Path
  const tiny = yield* tinyModelPath
  yield* fs.remove(folder, { recursive: true, force: true })
  yield* fs.makeDirectory(folder, { recursive: true })
  if (Option.isNone(tiny)) return
  const model = withLongContext(yield* fs.readFile(tiny.value))
  for (const [index, text] of ids.entries()) {
    const id = ModelId.format(yield* Effect.fromResult(ModelId.parse(text)))
    const file = path.join(folder, `mock-${index}.gguf`)
    yield* fs.writeFile(file, model)
    yield* writeManifest(file + manifestExtension, {
      ids: [id],
      from: "rbee mock hive",
      at: "1970-01-01T00:00:00.000Z",
      files: []
    })
  }
})
