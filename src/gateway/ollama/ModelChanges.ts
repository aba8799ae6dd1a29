import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import type * as HttpServerRequest from "effect/http/HttpServerRequest"
import * as HttpServerResponse from "effect/http/HttpServerResponse"
import * as Layer from "effect/Layer"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import type * as Scope from "effect/Scope"
import { Caller } from "../../daemon/Caller.ts"
import type { JobFailed } from "../../job/errors.ts"
import { Settings } from "../../settings/Settings.ts"
import { type BodyError, requestBody } from "../endpoint/requestBody.ts"
import { OperationRunner, type SubmitError } from "../upstream/OperationRunner.ts"
import { Unloader } from "../upstream/Unloader.ts"
import { type ModelUnknown, type ServedModel, Upstream } from "../upstream/Upstream.ts"
import { readCopy, readCreate } from "./create.ts"
import { pulledId, pullLines } from "./pull.ts"
import { readNamed } from "./request.ts"

/** API keys give access to inference, but not to the download, creation and deletion of models. */
export class KeyForbidden extends Schema.TaggedError<KeyForbidden>()(
  "KeyForbidden",
  { key: Schema.String },
  { httpApiStatus: 403 }
) {
  override get message() {
    return `API key '${this.key}' may not download, create or delete models; use the CLI (rbee model download, rbee model delete)`
  }
}

/** The response to a request that changes models. */
type Change<E> = Effect.Effect<
  HttpServerResponse.HttpServerResponse,
  BodyError | JobFailed | KeyForbidden | SubmitError | E,
  Caller | HttpServerRequest.HttpServerRequest | Scope.Scope
>

/**
 * The endpoints of Ollama that download, create and delete models. They reject API keys.
 *
 * @effect-expect-leaking Caller HttpServerRequest
 */
export class ModelChanges extends Context.Service<
  ModelChanges,
  {
    /** `POST /api/pull`: downloads a model. The download continues if its client disconnects. */
    readonly pull: Change<never>
    /** `POST /api/create`: makes a model from another one, on every hive that has the other one. */
    readonly create: Change<ModelUnknown>
    /** `POST /api/copy`: gives a model a second name. */
    readonly copy: Change<ModelUnknown>
    /** `DELETE /api/delete`: deletes a model on all hives. */
    readonly remove: Change<ModelUnknown>
  }
>()("rbee/gateway/ollama/ModelChanges") {
  static readonly layerNoDeps = Layer.effect(
    ModelChanges,
    Effect.suspend(() => make)
  )
}

const requireUnrestricted = Effect.flatMap(Caller, ({ key }) =>
  key === undefined ? Effect.void : Effect.fail(new KeyForbidden({ key: key.name }))
)

const isInUse = (error: JobFailed | SubmitError) => error._tag === "JobFailed" && error.code === "ModelInUse"

const onAllHives = <E>(
  { hives }: ServedModel,
  change: (hive: string) => Effect.Effect<unknown, E>
): Effect.Effect<ReadonlyArray<Result.Result<unknown, E>>> =>
  Effect.forEach(hives, (hive) => Effect.result(change(hive)), { concurrency: "unbounded" })

const firstFailure = <E>(outcomes: ReadonlyArray<Result.Result<unknown, E>>) =>
  Effect.forEach(outcomes, Effect.fromResult, { discard: true })

const make = Effect.gen(function* () {
  const upstream = yield* Upstream
  const operations = yield* OperationRunner
  const settings = yield* Settings
  const unloader = yield* Unloader
  const body = requestBody(settings)

  const pull = Effect.fn("ModelChanges.pull")(function* () {
    yield* requireUnrestricted
    const { name, stream } = yield* Effect.fromResult(readNamed(yield* body))
    const model = yield* Effect.fromResult(pulledId(name))
    const operation = { operation: "model_download", hive_id: "auto", model }
    if (!stream) {
      const jobId = yield* operations.run(operation)
      return HttpServerResponse.jsonUnsafe({ status: "success" }, { headers: { "x-rbee-job-id": jobId } })
    }
    const { events, jobId } = yield* operations.start(operation)
    return HttpServerResponse.stream(yield* pullLines(name, jobId, events), {
      contentType: "application/x-ndjson",
      headers: { "x-rbee-job-id": jobId }
    })
  })

  // A hive that cannot create the model does not prevent its creation on the others.
  const createFrom = Effect.fnUntraced(function* (id: string, from: string, definition: Schema.JsonObject) {
    yield* requireUnrestricted
    const source = yield* upstream.find(from)
    const outcomes = yield* onAllHives(source, (hive_id) =>
      operations.run({ operation: "model_create", hive_id, id, from: source.facts.id, ...definition })
    )
    if (!outcomes.some(Result.isSuccess)) yield* firstFailure(outcomes)
  })

  const create = Effect.fn("ModelChanges.create")(function* () {
    const { definition, from, name, stream } = yield* Effect.fromResult(readCreate(yield* body))
    yield* createFrom(name, from, { ...definition })
    const success = { status: "success" }
    return stream
      ? HttpServerResponse.text(`${JSON.stringify(success)}\n`, { contentType: "application/x-ndjson" })
      : HttpServerResponse.jsonUnsafe(success)
  })

  const copy = Effect.fn("ModelChanges.copy")(function* () {
    const { destination, source } = yield* Effect.fromResult(readCopy(yield* body))
    yield* createFrom(destination, source, {})
    return HttpServerResponse.empty({ status: 200 })
  })

  const removeOn = (model: ServedModel, hive_id: string) => {
    const removal = operations.run({ operation: "model_delete", hive_id, id: model.facts.id })
    // Like Ollama, first unloads a model that is loaded but idle.
    return Effect.catchIf(removal, isInUse, () => Effect.andThen(unloader.unload(model, hive_id), removal))
  }

  const remove = Effect.fn("ModelChanges.remove")(function* () {
    yield* requireUnrestricted
    const { name } = yield* Effect.fromResult(readNamed(yield* body))
    const model = yield* upstream.find(name)
    // A hive that uses the model or is unreachable does not prevent its deletion on the others.
    yield* Effect.flatMap(
      onAllHives(model, (hive) => removeOn(model, hive)),
      firstFailure
    )
    return HttpServerResponse.empty({ status: 200 })
  })

  return ModelChanges.of({ pull: pull(), create: create(), copy: copy(), remove: remove() })
})
