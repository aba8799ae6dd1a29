import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import * as Path from "effect/Path"
import * as Schema from "effect/Schema"
import { systemProblem } from "../config/systemProblem.ts"
import { partsOf } from "./download/Quantisation.ts"
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

/**
 * Deletes the files of a model below `root` and the folders that are empty then; of one that was adopted only the entry.
 * Gives the bytes that were freed: a link's target stays. The first file and the manifest go last, so that a deletion that
 * failed can be repeated.
 */
export const removeModel = Effect.fn("ModelRemoval.removeModel")(function* (
  root: string,
  { id, origin, path: first }: ModelFile
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

  const own = origin?.manifest.path === undefined ? partsOf(first).toReversed() : []
  const freed = yield* Effect.forEach(own, removeFile)
  if (origin !== undefined) yield* removeFile(origin.file)
  for (
    let parent = path.dirname(origin?.file ?? first);
    parent.startsWith(`${root}${path.sep}`);
    parent = path.dirname(parent)
  ) {
    const left = yield* Effect.orElseSucceed(fs.readDirectory(parent), () => [""])
    // A link to a folder is the owner's, also when the folder is empty.
    if (left.length > 0 || (yield* isLink(parent))) break
    yield* Effect.ignore(fs.remove(parent, { recursive: true }))
  }
  return freed.reduce((sum, bytes) => sum + bytes, 0)
})
