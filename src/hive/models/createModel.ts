import * as DateTime from "effect/DateTime"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Path from "effect/Path"
import type { ModelDefinition } from "../../operation/CreatedModel.ts"
import { findNamed } from "../../operation/modelNames.ts"
import {
  checkDefinition,
  createdFolder,
  createdId,
  InvalidModelDefinition,
  type StoredDefinition,
  writeCreated
} from "./CreatedModels.ts"
import type { ModelFile } from "./ModelFolder.ts"
import type { ModelIndex } from "./ModelIndex.ts"
import { namesOf } from "./ModelRecord.ts"

/** What a new model takes over from its source: the definition of a created one, else the defaults of its file. */
const inheritedFrom = (source: ModelFile): ModelDefinition => {
  if (source.created === undefined) return source.origin?.manifest.defaults ?? {}
  const { at: _at, from: _from, id: _id, ...definition } = source.created.definition
  return definition
}

/**
 * Writes the definition of a model that shares the file of another one. An existing definition with the same id is replaced;
 * a model with a file of its own is not. Returns the id.
 */
export const createModel = Effect.fn("Models.createModel")(function* (
  { bundled, contents, folder, header, locate }: ModelIndex,
  name: string,
  from: string,
  changes: ModelDefinition
) {
  const path = yield* Path.Path
  const id = yield* createdId(name)
  const known = [...Option.toArray(yield* bundled), ...(yield* contents).files]
  const existing = findNamed(known, namesOf, id)
  if (existing !== undefined && existing.created === undefined) {
    return yield* new InvalidModelDefinition({
      id,
      reason: `'${existing.id}' is a model with a file of its own; choose another name`
    })
  }
  const source = yield* locate(from)
  const base = source.created?.source ?? source
  yield* header(base.path)
  const inherited = inheritedFrom(source)
  const parameters = { ...inherited.parameters, ...changes.parameters }
  const stored: StoredDefinition = {
    id,
    from: base.id,
    at: DateTime.formatIso(yield* DateTime.now),
    ...inherited,
    ...changes,
    ...(Object.keys(parameters).length === 0 ? {} : { parameters })
  }
  yield* checkDefinition(stored)
  const isInFolder = base.path.startsWith(`${folder}${path.sep}`)
  const newFolder = isInFolder ? path.dirname(base.path) : path.join(folder, createdFolder)
  const target = existing?.created === undefined ? newFolder : path.dirname(existing.created.file)
  yield* writeCreated(target, stored)
  return id
})
