import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import * as Path from "effect/Path"
import * as Schema from "effect/Schema"
import { failureStatus } from "../../operation/failureStatus.ts"
import { systemProblem } from "../../settings/systemProblem.ts"
import { partsOf } from "../gguf/splitFiles.ts"
import { templateOf } from "./CreatedModels.ts"
import type { ModelFile } from "./ModelFolder.ts"

/** A file of a model could not be deleted; the model is still listed. */
export class ModelNotDeleted extends Schema.TaggedError<ModelNotDeleted>()(
  "ModelNotDeleted",
  { id: Schema.String, file: Schema.String, folder: Schema.String, reason: Schema.String },
  { httpApiStatus: 500 }
) {
  override get message() {
    return `Model '${this.id}' was not deleted: cannot remove ${this.file} from ${this.folder}: ${this.reason}`
  }
}

/** Other models were created from the model and share its file. */
export class ModelIsSource extends Schema.TaggedError<ModelIsSource>()(
  "ModelIsSource",
  { id: Schema.String, models: Schema.Array(Schema.String) },
  { httpApiStatus: failureStatus.ModelIsSource }
) {
  override get message() {
    const { id, models } = this
    return `Model '${id}' was not deleted: ${models.join(", ")} ${models.length === 1 ? "was" : "were"} made from it; delete ${models.length === 1 ? "that" : "those"} first`
  }
}

/**
 * Deletes the files of a model below `root` and the folders that are then empty; of an adopted model, only the entry. Returns
 * the number of freed bytes; the targets of links are kept. The first file and the manifest are deleted last, so that a
 * failed deletion can be repeated.
 */
export const removeModel = Effect.fn("ModelRemoval.removeModel")(function* (
  root: string,
  { created, id, origin, path: first }: ModelFile
) {
  const fs = yield* FileSystem.FileSystem
  const path = yield* Path.Path

  const isLink = (file: string) => Effect.isSuccess(fs.readLink(file))
  const removeFile = (file: string) =>
    Effect.gen(function* () {
      if (yield* isLink(file)) {
        yield* fs.remove(file)
        return 0
      }
      const { size } = yield* fs.stat(file)
      yield* fs.remove(file)
      return Number(size)
    }).pipe(
      Effect.catchIf(
        ({ reason }) => reason._tag === "NotFound",
        () => Effect.succeed(0)
      ),
      Effect.mapError(
        (error) =>
          new ModelNotDeleted({
            id,
            file: path.basename(file),
            folder: path.dirname(file),
            reason: systemProblem(error)
          })
      )
    )

  if (created !== undefined) {
    const freed = yield* Effect.forEach([templateOf(created.file), created.file], removeFile)
    return freed.reduce((sum, bytes) => sum + bytes, 0)
  }
  const own = origin?.manifest.path === undefined ? partsOf(first).toReversed() : []
  const freed = yield* Effect.forEach(own, removeFile)
  if (origin !== undefined) yield* removeFile(origin.file)
  for (
    let parent = path.dirname(origin?.file ?? first);
    parent.startsWith(`${root}${path.sep}`);
    parent = path.dirname(parent)
  ) {
    const left = yield* Effect.orElseSucceed(fs.readDirectory(parent), () => [""])
    // A link to a folder belongs to the owner, so it is kept even if the folder is empty.
    if (left.length > 0 || (yield* isLink(parent))) break
    yield* Effect.ignore(fs.remove(parent, { recursive: true }))
  }
  return freed.reduce((sum, bytes) => sum + bytes, 0)
})
