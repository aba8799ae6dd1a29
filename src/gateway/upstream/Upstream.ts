import * as Context from "effect/Context"
import type * as Effect from "effect/Effect"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import type { Work } from "../../job/Submission.ts"
import { failureStatus } from "../../operation/failureStatus.ts"
import type { CompletionApi } from "../../operation/fields.ts"
import type { HiveInventory, StoredModel } from "../../operation/Inventory.ts"
import { findNamed } from "../../operation/modelNames.ts"
import { contextOn } from "../../operation/WorkerShape.ts"
import type { AliasSetting } from "../../settings/AliasSettings.ts"

/** A model that applications can use. */
export interface ServedModel {
  /** The public name: an alias of the settings, or the model's id. */
  readonly name: string
  /** The id of the model that workers load. */
  readonly id: string
  readonly facts: StoredModel
  /** The hives that have the model's file. */
  readonly hives: ReadonlyArray<string>
  /** Context length of a worker that serves the model, or of the worker that would be started, in tokens per request. */
  readonly contextSize: number
  readonly alias?: AliasSetting | undefined
}

/** The hive and the worker of a request, and its waiting times in milliseconds. */
export interface Placement {
  readonly hive: string
  readonly worker: string
  readonly queueMs: number
  readonly loadMs: number
}

/** A decoded request of an application, ready for a worker. */
export interface GatewayRequest {
  readonly model: ServedModel
  readonly api: CompletionApi
  readonly body: { readonly [field: string]: unknown }
  /** The text of the prompt; the scheduler compares its prefixes with those of other requests. */
  readonly prompt: string
  /** Minimum context length of the worker in tokens, limited to the maximum of the model. */
  readonly contextSize?: number | undefined
  /** The request only counts the tokens of its prompt, so the worker's context need not fit them. */
  readonly isCount?: boolean | undefined
  /** The id of the API key; empty without one. */
  readonly key: string
  readonly priority: number
  /** Maximum wait for a worker in milliseconds; the value of the settings if absent. */
  readonly waitMs?: number | undefined
  /** Whether the answer is streamed to the client; otherwise the client receives it when it is complete. */
  readonly isStreamed: boolean
  /** Called when an answer restarts before the client has received any of it; only events with an id above `after` count. */
  readonly onRestarted: (after: number) => void
  /** Called for each worker that the request is assigned to, possibly more than once. */
  readonly onPlaced: (placement: Placement) => void
}

/** No hive has the requested model. */
export class ModelUnknown extends Schema.TaggedError<ModelUnknown>()(
  "ModelUnknown",
  { model: Schema.String, known: Schema.Array(Schema.String) },
  { httpApiStatus: failureStatus.ModelUnknown }
) {
  override get message() {
    const some = this.known.slice(0, 10).join(", ")
    return `Model '${this.model}' is not on any hive; available: ${some === "" ? "none" : some}. Download it with 'rbee model download ID'`
  }
}

/** A worker and its hive. */
export interface ServingWorker {
  readonly hive: string
  readonly worker: HiveInventory["workers"][number]
}

/** The backend of the application endpoints: the fleet of a queen, or the workers of a hive. */
export class Upstream extends Context.Service<
  Upstream,
  {
    /** All available models, the aliases of the settings first. */
    readonly models: Effect.Effect<ReadonlyArray<ServedModel>>
    /** The model with this public name. */
    readonly find: (name: string) => Effect.Effect<ServedModel, ModelUnknown>
    readonly workers: Effect.Effect<ReadonlyArray<ServingWorker>>
    /** The work of a request's job: narrates its waiting, then emits the engine's data as chunks or as a result. */
    readonly complete: (request: GatewayRequest) => Work
  }
>()("rbee/gateway/upstream/Upstream") {}

/** Finds a model by its name in any accepted spelling, with or without the prefix of its source. */
export const findModel = (models: ReadonlyArray<ServedModel>, name: string): ServedModel | undefined =>
  findNamed(models, namesOf, name)

const namesOf = ({ facts, name }: ServedModel) => (name === facts.id ? [name, ...(facts.also ?? [])] : [name])

/** The id of the model that workers load. A model created from another one is loaded separately only if it has a template. */
const servedBy = ({ created, id }: StoredModel) =>
  created === undefined || created.template !== undefined ? id : created.from

/** The model with this name among `models`. */
export const pickModel = (
  models: ReadonlyArray<ServedModel>,
  name: string
): Result.Result<ServedModel, ModelUnknown> => {
  const found = findModel(models, name)
  return found === undefined
    ? Result.fail(new ModelUnknown({ model: name, known: models.map(({ name }) => name) }))
    : Result.succeed(found)
}

/** A hive's stored models, and its devices and workers if known. */
export interface ModelsOfHive extends Partial<Pick<HiveInventory, "devices" | "workers">> {
  readonly hive: string
  readonly models: ReadonlyArray<StoredModel>
}

/** The models of all hives by public name: first the aliases of existing models, then each model once. */
export const publicModels = (
  stored: ReadonlyArray<ModelsOfHive>,
  aliases: Readonly<Record<string, AliasSetting>>
): ReadonlyArray<ServedModel> => {
  const byId = new Map<
    string,
    { readonly facts: StoredModel; readonly hives: Array<string>; contextSize: number }
  >()
  for (const { devices = [], hive, models, workers = [] } of stored) {
    for (const facts of models) {
      const contextSize = contextOn({ devices, workers }, facts)
      const known = byId.get(facts.id)
      if (known === undefined) byId.set(facts.id, { facts, hives: [hive], contextSize })
      else {
        known.hives.push(hive)
        known.contextSize = Math.max(known.contextSize, contextSize)
      }
    }
  }
  const own = [...byId.values()].map(({ contextSize, facts, hives }): ServedModel => ({
    name: facts.id,
    id: servedBy(facts),
    facts,
    hives,
    contextSize
  }))
  const named = Object.entries(aliases).flatMap(([name, alias]): ReadonlyArray<ServedModel> => {
    const model = findModel(own, alias.model)
    const contextSize = alias.context_size ?? model?.contextSize ?? 0
    return model === undefined ? [] : [{ ...model, name, alias, contextSize }]
  })
  return [...named, ...own]
}
