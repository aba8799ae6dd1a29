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

/** A model that applications can ask for. */
export interface ServedModel {
  /** What they call it: an alias of the settings, or the model's id. */
  readonly name: string
  /** The id by which workers have it. */
  readonly id: string
  readonly facts: StoredModel
  /** The hives that have its file. */
  readonly hives: ReadonlyArray<string>
  /** Tokens that one request may have: of a worker that serves it, or of the one that it would get. */
  readonly contextSize: number
  readonly alias?: AliasSetting | undefined
}

/** Where a request runs, and what it waited for, in milliseconds. */
export interface Placement {
  readonly hive: string
  readonly worker: string
  readonly queueMs: number
  readonly loadMs: number
}

/** A request of an application, read so far that it can be given to a worker. */
export interface GatewayRequest {
  readonly model: ServedModel
  readonly api: CompletionApi
  readonly body: { readonly [field: string]: unknown }
  /** The text of the prompt, whatever its form: its beginnings are compared with those of others. */
  readonly prompt: string
  /** Tokens that the worker's context must have at least; a model has no more than it was trained for. */
  readonly contextSize?: number | undefined
  /** The request only counts the tokens of its prompt: no worker is sought that has room for them. */
  readonly isCount?: boolean | undefined
  /** Who asks. */
  readonly key: string
  readonly priority: number
  /** How long it may wait for a worker, in milliseconds; the setting's when it is not said. */
  readonly waitMs?: number | undefined
  /** Whether the client reads the answer as it grows; otherwise it sees nothing before the end. */
  readonly isStreamed: boolean
  /** Told when an answer that the client has not seen begins again: of the job's events only those after this count. */
  readonly onRestarted: (after: number) => void
  /** Told when a worker was found, maybe more than once. */
  readonly onPlaced: (placement: Placement) => void
}

/** No hive has the model that was asked for. */
export class ModelUnknown extends Schema.TaggedError<ModelUnknown>()(
  "ModelUnknown",
  { model: Schema.String, known: Schema.Array(Schema.String) },
  { httpApiStatus: failureStatus.ModelUnknown }
) {
  override get message() {
    const some = this.known.slice(0, 10).join(", ")
    return `Model '${this.model}' is on no hive; there are ${some === "" ? "none" : some}. 'rbee model download ID' brings one`
  }
}

/** A worker, as applications may see it. */
export interface ServingWorker {
  readonly hive: string
  readonly worker: HiveInventory["workers"][number]
}

/** What stands behind the front doors: a queen has its fleet there, a hive its own workers. */
export class Upstream extends Context.Service<
  Upstream,
  {
    /** Every model that can be asked for, the aliases of the settings first. */
    readonly models: Effect.Effect<ReadonlyArray<ServedModel>>
    /** The model that an application calls so. */
    readonly find: (name: string) => Effect.Effect<ServedModel, ModelUnknown>
    readonly workers: Effect.Effect<ReadonlyArray<ServingWorker>>
    /** The work of a request's job: says what it waits for, then gives the engine's data as chunks, or a result. */
    readonly complete: (request: GatewayRequest) => Work
  }
>()("rbee/gateway/upstream/Upstream") {}

/** Finds a model by what an application calls it: its name in any spelling, with or without the prefix of its source. */
export const findModel = (models: ReadonlyArray<ServedModel>, asked: string): ServedModel | undefined =>
  findNamed(models, namesOf, asked)

const namesOf = ({ facts, name }: ServedModel) => (name === facts.id ? [name, ...(facts.also ?? [])] : [name])

/** The id of the model whose workers serve it: a model made from another has workers of its own only with a template. */
const servedBy = ({ created, id }: StoredModel) =>
  created === undefined || created.template !== undefined ? id : created.from

/** The model that an application calls so, among those that there are. */
export const pickModel = (
  models: ReadonlyArray<ServedModel>,
  name: string
): Result.Result<ServedModel, ModelUnknown> => {
  const found = findModel(models, name)
  return found === undefined
    ? Result.fail(new ModelUnknown({ model: name, known: models.map(({ name }) => name) }))
    : Result.succeed(found)
}

/** A hive with the models whose files it has, and with what runs there, where it is known. */
export interface ModelsOfHive extends Partial<Pick<HiveInventory, "devices" | "workers">> {
  readonly hive: string
  readonly models: ReadonlyArray<StoredModel>
}

/** The models of hives under their public names: aliases whose model is there, then every model once. */
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
