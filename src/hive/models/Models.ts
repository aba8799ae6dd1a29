import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import type * as FileSystem from "effect/FileSystem"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import type * as Path from "effect/Path"
import type { ModelDefinition } from "../../operation/CreatedModel.ts"
import { findNamed } from "../../operation/modelNames.ts"
import type { GgufError } from "../gguf/GgufFile.ts"
import type { InvalidModelDefinition, ModelNotCreated, StoredDefinition } from "./CreatedModels.ts"
import { createModel } from "./createModel.ts"
import { type LookupError, ModelNotRemovable } from "./modelErrors.ts"
import { makeModelIndex, type ModelIndex } from "./ModelIndex.ts"
import { type ModelDetails, modelDetails, type ModelRecord, namesOf, servedId } from "./ModelRecord.ts"
import { ModelIsSource, type ModelNotDeleted, removeModel } from "./ModelRemoval.ts"
import { makeSurvey, type Survey } from "./surveyModels.ts"

/** The file of a model, and the canonical form of its id. */
export interface ModelLocation {
  readonly id: string
  readonly path: string
}

/**
 * The models of this hive: the bundled one, the files of the models folder, and any file by its path.
 */
export class Models extends Context.Service<
  Models,
  {
    /** All models, the bundled one first, and the files that are not usable, which are also logged. */
    readonly survey: Effect.Effect<Survey>
    /** The usable models. */
    readonly list: Effect.Effect<ReadonlyArray<ModelRecord>>
    /** The usable models with their headers. */
    readonly all: Effect.Effect<ReadonlyArray<ModelDetails>>
    readonly get: (id: string) => Effect.Effect<ModelRecord, LookupError | GgufError>
    /** A model with its header, which determines the memory for any context length. */
    readonly describe: (id: string) => Effect.Effect<ModelDetails, LookupError | GgufError>
    /** The model's file, which is not read. */
    readonly resolve: (id: string) => Effect.Effect<ModelLocation, LookupError>
    /** Deletes a model's files, or the entry of an adopted one. Returns the number of freed bytes. */
    readonly remove: (
      id: string
    ) => Effect.Effect<number, LookupError | ModelIsSource | ModelNotDeleted | ModelNotRemovable>
    /** Creates a model from another one, whose file it shares. */
    readonly create: (
      name: string,
      from: string,
      definition: ModelDefinition
    ) => Effect.Effect<ModelRecord, LookupError | GgufError | InvalidModelDefinition | ModelNotCreated>
    /** The definition of a created model. */
    readonly findCreated: (name: string) => Effect.Effect<Option.Option<StoredDefinition>>
  }
>()("rbee/hive/models/Models") {
  /** `folder` contains downloaded models and those of the owner; it need not exist. */
  static readonly layerNoDeps = (folder: string) => Layer.effect(Models, make(folder))
}

const remove = Effect.fn("Models.remove")(function* ({ contents, folder, locate }: ModelIndex, id: string) {
  const model = yield* locate(id)
  if (model.id === "rbee:tiny") {
    return yield* new ModelNotRemovable({ id: model.id, reason: "it ships with rbee" })
  }
  const { files } = yield* contents
  const listed = files.find(({ id, path }) => path === model.path && id === model.id)
  if (listed === undefined) {
    const reason = `it is not in ${folder}; remove ${model.path} manually`
    return yield* new ModelNotRemovable({ id: model.id, reason })
  }
  const created = files.filter(({ created }) => created?.source.path === listed.path).map(({ id }) => id)
  if (listed.created === undefined && created.length > 0) {
    return yield* new ModelIsSource({ id: listed.id, models: created })
  }
  return yield* removeModel(folder, listed)
})

const make = Effect.fnUntraced(function* (folder: string) {
  const context = yield* Effect.context<FileSystem.FileSystem | Path.Path>()
  const index = yield* makeModelIndex(folder)
  const { contents, header, locate } = index
  const survey = makeSurvey(index)
  const all = Effect.map(survey, ({ models }) => models)

  const describe = Effect.fn("Models.describe")(function* (id: string) {
    const file = yield* locate(id)
    return modelDetails(file, yield* header(file.path))
  })
  const get = Effect.fn("Models.get")((id: string) => Effect.map(describe(id), ({ record }) => record))

  return Models.of({
    survey,
    all,
    list: Effect.map(all, (details) => details.map(({ record }) => record)),
    describe,
    get,
    resolve: Effect.fn("Models.resolve")(function* (id: string) {
      const file = yield* locate(id)
      return { id: servedId(file), path: file.path }
    }),
    remove: (id) => Effect.provideContext(remove(index, id), context),
    create: Effect.fn("Models.create")(function* (name, from, changes) {
      const id = yield* Effect.provideContext(createModel(index, name, from, changes), context)
      return yield* get(id)
    }),
    findCreated: (name) =>
      Effect.map(contents, ({ files }) => {
        const found = findNamed(files, namesOf, name)?.created
        return Option.map(Option.fromUndefinedOr(found), ({ definition }) => definition)
      })
  })
})
