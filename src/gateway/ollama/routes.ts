import * as Effect from "effect/Effect"
import * as HttpRouter from "effect/http/HttpRouter"
import * as HttpServerResponse from "effect/http/HttpServerResponse"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import * as Struct from "effect/Struct"
import { Caller } from "../../daemon/Caller.ts"
import type { PublicRoute } from "../../daemon/PublicRoutes.ts"
import { requestText } from "../../http/readBody.ts"
import { Settings } from "../../settings/Settings.ts"
import { version } from "../../system/Program.ts"
import { type Body, InvalidRequest } from "../endpoint/Endpoint.ts"
import { parse, refuse } from "../endpoint/errorResponses.ts"
import { fromError } from "../endpoint/failures.ts"
import { optional, reader } from "../endpoint/reading.ts"
import { mayUse, ModelForbidden } from "../keys/KeyLimits.ts"
import { OperationRunner } from "../upstream/OperationRunner.ts"
import { Unloader } from "../upstream/Unloader.ts"
import { Upstream } from "../upstream/Upstream.ts"
import { readCopy, readCreate } from "./create.ts"
import { ollamaFormat } from "./format.ts"
import { loaded, show, tags } from "./models.ts"
import { pulledId, pullLines } from "./pull.ts"

/** Keys are for asking models, and not for changing what machines have. */
export class KeyForbidden extends Schema.TaggedError<KeyForbidden>()("KeyForbidden", {
  key: Schema.String
}) {
  override get message() {
    return `Key '${this.key}' may ask models, and not bring or delete them; the fleet's owner does that (rbee model download, rbee model delete)`
  }
}

const readNamed = reader(
  Schema.Struct({
    model: optional(Schema.String),
    name: optional(Schema.String),
    stream: optional(Schema.Boolean)
  })
)

const named = (body: Body) =>
  Result.flatMap(readNamed(body), ({ model, name, stream }) => {
    // Ollama's own client sends both, one of them empty.
    const asked = model || name
    return asked
      ? Result.succeed({ name: asked, stream: stream !== false })
      : Result.fail(new InvalidRequest({ reason: "'model' must be the name of a model", param: "model" }))
  })

// Clients compare it with Ollama's versions to learn what the API offers; a `-` would make it a pre-release.
const versioned = HttpServerResponse.jsonUnsafe({ version: `0.13.4+rbee.${version}` })

const notImplemented = (reason: string) =>
  refuse(ollamaFormat, { status: 501, code: "NotImplemented", message: `rbee does not do this: ${reason}` })

const methods = {
  "/api/tags": "GET",
  "/api/version": "GET",
  "/api/ps": "GET",
  "/api/show": "POST",
  "/api/pull": "POST",
  "/api/delete": "DELETE",
  "/api/create": "POST",
  "/api/copy": "POST",
  "/api/push": "POST"
} as const

const isInUse = (error: { readonly _tag: string; readonly code?: string }) =>
  error._tag === "JobFailed" && error.code === "ModelInUse"

const documented = { GET: "get", POST: "post", DELETE: "delete" } as const

/** Where Ollama's clients upload files. */
export const blobsPath = "/api/blobs"

/** The paths of Ollama's API that do not answer with what an engine writes. */
export const ollamaPaths: ReadonlyArray<PublicRoute> = Struct.keys(methods).map((path) => ({
  method: documented[methods[path]],
  path,
  api: ollamaFormat.api
}))

/** What of Ollama's API is no answer of a model. */
export const ollamaRoutes = HttpRouter.use(
  Effect.fn(function* (router) {
    const upstream = yield* Upstream
    const operations = yield* OperationRunner
    const settings = yield* Settings
    const unloader = yield* Unloader

    const asked = Effect.flatMap(Effect.flatMap(requestText(settings), parse), (body) =>
      Effect.fromResult(named(body))
    )
    const mayChange = Effect.flatMap(Caller, ({ key }) =>
      key === undefined ? Effect.void : Effect.fail(new KeyForbidden({ key: key.name }))
    )
    const mine = Effect.gen(function* () {
      const { key } = yield* Caller
      return (yield* upstream.models).filter((model) => mayUse(key, model))
    })

    const tagged = Effect.map(mine, (models) => HttpServerResponse.jsonUnsafe(tags(models)))
    const running = Effect.gen(function* () {
      return HttpServerResponse.jsonUnsafe(loaded(yield* mine, yield* upstream.workers))
    })
    const sanitized = Effect.gen(function* () {
      const { key } = yield* Caller
      const { name } = yield* asked
      const model = yield* upstream.find(name)
      if (!mayUse(key, model)) return yield* new ModelForbidden({ key: key?.name ?? "", model: name })
      return HttpServerResponse.jsonUnsafe(show(model))
    })
    const pull = Effect.gen(function* () {
      yield* mayChange
      const { name, stream } = yield* asked
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
    /** Makes the model on every hive that has the other one; done when one of them has it. */
    const createFrom = Effect.fnUntraced(function* (id: string, from: string, definition: Schema.JsonObject) {
      yield* mayChange
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
      yield* mayChange
      const { name } = yield* asked
      const model = yield* upstream.find(name)
      const removeOn = (hive_id: string) => {
        const removal = operations.run({ operation: "model_delete", hive_id, id: model.facts.id })
        // As with Ollama, a model that is loaded and idle is unloaded first.
        return Effect.catchIf(removal, isInUse, () =>
          Effect.andThen(unloader.unload(model, hive_id), removal)
        )
      }
      // A hive that uses it, or is away, keeps no other from deleting it.
      const outcomes = yield* Effect.forEach(model.hives, (hive) => Effect.result(removeOn(hive)), {
        concurrency: "unbounded"
      })
      for (const outcome of outcomes) yield* Effect.fromResult(outcome)
      return HttpServerResponse.empty({ status: 200 })
    })

    const answering = Effect.catch((error: Parameters<typeof fromError>[0]) =>
      Effect.succeed(refuse(ollamaFormat, fromError(error)))
    )
    // What the source does not have is its answer; a 404 would say that this daemon cannot pull.
    const pulling = Effect.catch((error: Parameters<typeof fromError>[0]) => {
      const failure = fromError(error)
      return Effect.succeed(
        refuse(ollamaFormat, { ...failure, status: failure.status === 404 ? 502 : failure.status })
      )
    })
    const routes = {
      "/api/tags": tagged,
      "/api/version": Effect.succeed(versioned),
      "/api/ps": running,
      "/api/show": answering(sanitized),
      "/api/pull": pulling(pull),
      "/api/delete": answering(remove),
      "/api/create": answering(create),
      "/api/copy": answering(copy),
      "/api/push": Effect.succeed(notImplemented("models are not uploaded to a registry"))
    }
    for (const path of Struct.keys(methods)) yield* router.add(methods[path], path, routes[path])
    yield* router.add(
      "*",
      `${blobsPath}/*`,
      Effect.succeed(
        notImplemented(
          "files are not uploaded; pull a model, or put a GGUF file into the models folder of a hive"
        )
      )
    )
  })
)
