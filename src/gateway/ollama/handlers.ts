import * as Effect from "effect/Effect"
import * as HttpApiBuilder from "effect/http-api/HttpApiBuilder"
import * as HttpServerResponse from "effect/http/HttpServerResponse"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import { Caller } from "../../daemon/Caller.ts"
import { requestText } from "../../http/readBody.ts"
import { Settings } from "../../settings/Settings.ts"
import { version } from "../../system/Program.ts"
import { type Body, InvalidRequest } from "../endpoint/Endpoint.ts"
import { parse, refuse } from "../endpoint/errorResponses.ts"
import { fromError } from "../endpoint/failures.ts"
import { makeAnswering } from "../endpoint/respond.ts"
import { mayUse, ModelForbidden } from "../keys/KeyLimits.ts"
import { OperationRunner } from "../upstream/OperationRunner.ts"
import { Unloader } from "../upstream/Unloader.ts"
import { Upstream } from "../upstream/Upstream.ts"
import { OllamaApi } from "./api.ts"
import { readCopy, readCreate } from "./create.ts"
import * as Ollama from "./endpoints.ts"
import { ollamaFormat } from "./format.ts"
import { loaded, show, tags } from "./models.ts"
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

const named = (body: Body) =>
  Result.flatMap(readNamed(body), ({ model, name, stream }) => {
    const requested = model || name
    return requested
      ? Result.succeed({ name: requested, stream: stream !== false })
      : Result.fail(new InvalidRequest({ reason: "'model' must be the name of a model", param: "model" }))
  })

// Clients compare this with Ollama's versions to detect features; a `-` would make it a pre-release.
const versioned = HttpServerResponse.jsonUnsafe({ version: `0.13.4+rbee.${version}` })

const notImplemented = (reason: string) =>
  refuse(ollamaFormat, { status: 501, code: "NotImplemented", message: `Not implemented: ${reason}` })

const isInUse = (error: { readonly _tag: string; readonly code?: string }) =>
  error._tag === "JobFailed" && error.code === "ModelInUse"

/** The path to which Ollama clients upload files. */
export const blobsPath = "/api/blobs"

/** The response to file uploads. */
export const blobsMissing = () =>
  notImplemented(
    "files cannot be uploaded; pull a model, or put a GGUF file into the models folder of a hive"
  )

/** The handlers of Ollama's API. */
export const ollamaHandlers = HttpApiBuilder.group(
  OllamaApi,
  "ollama",
  Effect.fn(function* (handlers) {
    const answer = yield* makeAnswering
    const upstream = yield* Upstream
    const operations = yield* OperationRunner
    const settings = yield* Settings
    const unloader = yield* Unloader

    const readName = Effect.flatMap(Effect.flatMap(requestText(settings), parse), (body) =>
      Effect.fromResult(named(body))
    )
    const requireUnrestricted = Effect.flatMap(Caller, ({ key }) =>
      key === undefined ? Effect.void : Effect.fail(new KeyForbidden({ key: key.name }))
    )
    const visibleModels = Effect.gen(function* () {
      const { key } = yield* Caller
      return (yield* upstream.models).filter((model) => mayUse(key, model))
    })

    const tagged = Effect.map(visibleModels, (models) => HttpServerResponse.jsonUnsafe(tags(models)))
    const running = Effect.gen(function* () {
      return HttpServerResponse.jsonUnsafe(loaded(yield* visibleModels, yield* upstream.workers))
    })
    const showModel = Effect.gen(function* () {
      const { key } = yield* Caller
      const { name } = yield* readName
      const model = yield* upstream.find(name)
      if (!mayUse(key, model)) return yield* new ModelForbidden({ key: key?.name ?? "", model: name })
      return HttpServerResponse.jsonUnsafe(show(model))
    })
    const pull = Effect.gen(function* () {
      yield* requireUnrestricted
      const { name, stream } = yield* readName
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
    /** Creates the model on every hive that has the source; succeeds if at least one hive succeeds. */
    const createFrom = Effect.fnUntraced(function* (id: string, from: string, definition: Schema.JsonObject) {
      yield* requireUnrestricted
      const source = yield* upstream.find(from)
      const outcomes = yield* Effect.forEach(
        source.hives,
        (hive_id) =>
          Effect.result(
            operations.run({ operation: "model_create", hive_id, id, from: source.facts.id, ...definition })
          ),
        { concurrency: "unbounded" }
      )
      if (outcomes.some(Result.isSuccess)) return
      for (const outcome of outcomes) yield* Effect.fromResult(outcome)
    })
    const body = Effect.flatMap(requestText(settings), parse)
    const create = Effect.gen(function* () {
      const { definition, from, name, stream } = yield* Effect.flatMap(body, (fields) =>
        Effect.fromResult(readCreate(fields))
      )
      yield* createFrom(name, from, { ...definition })
      const success = { status: "success" }
      return stream
        ? HttpServerResponse.text(`${JSON.stringify(success)}\n`, { contentType: "application/x-ndjson" })
        : HttpServerResponse.jsonUnsafe(success)
    })
    const copy = Effect.gen(function* () {
      const { destination, source } = yield* Effect.flatMap(body, (fields) =>
        Effect.fromResult(readCopy(fields))
      )
      yield* createFrom(destination, source, {})
      return HttpServerResponse.empty({ status: 200 })
    })
    const remove = Effect.gen(function* () {
      yield* requireUnrestricted
      const { name } = yield* readName
      const model = yield* upstream.find(name)
      const removeOn = (hive_id: string) => {
        const removal = operations.run({ operation: "model_delete", hive_id, id: model.facts.id })
        // Like Ollama, first unloads a model that is loaded but idle.
        return Effect.catchIf(removal, isInUse, () =>
          Effect.andThen(unloader.unload(model, hive_id), removal)
        )
      }
      // A hive that uses the model or is unreachable does not prevent its deletion on the others.
      const outcomes = yield* Effect.forEach(model.hives, (hive) => Effect.result(removeOn(hive)), {
        concurrency: "unbounded"
      })
      for (const outcome of outcomes) yield* Effect.fromResult(outcome)
      return HttpServerResponse.empty({ status: 200 })
    })

    const withErrors = Effect.catch((error: Parameters<typeof fromError>[0]) =>
      Effect.succeed(refuse(ollamaFormat, fromError(error)))
    )
    // A model that the registry lacks is not a 404: clients would conclude that this daemon has no pull endpoint.
    const withPullErrors = Effect.catch((error: Parameters<typeof fromError>[0]) => {
      const failure = fromError(error)
      return Effect.succeed(
        refuse(ollamaFormat, { ...failure, status: failure.status === 404 ? 502 : failure.status })
      )
    })
    return handlers
      .handleRaw("chat", () => answer(Ollama.chatEndpoint))
      .handleRaw("generate", () => answer(Ollama.generateEndpoint))
      .handleRaw("embed", () => answer(Ollama.embedEndpoint))
      .handleRaw("embeddings", () => answer(Ollama.oldEmbeddingsEndpoint))
      .handleRaw("tags", () => tagged)
      .handleRaw("version", () => Effect.succeed(versioned))
      .handleRaw("ps", () => running)
      .handleRaw("show", () => withErrors(showModel))
      .handleRaw("pull", () => withPullErrors(pull))
      .handleRaw("delete", () => withErrors(remove))
      .handleRaw("create", () => withErrors(create))
      .handleRaw("copy", () => withErrors(copy))
      .handleRaw("push", () => Effect.succeed(notImplemented("models cannot be uploaded to a registry")))
  })
)
