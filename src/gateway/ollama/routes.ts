import * as Effect from "effect/Effect"
import * as HttpRouter from "effect/http/HttpRouter"
import * as HttpServerResponse from "effect/http/HttpServerResponse"
import * as Option from "effect/Option"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import { version } from "../../config/Program.ts"
import { Settings } from "../../config/Settings.ts"
import { Caller } from "../../job/Caller.ts"
import { type LoggedEvent, readFailure, readNarration, readProgress } from "../../job/JobEvent.ts"
import { requestText } from "../../job/requestText.ts"
import { type Body, InvalidRequest } from "../Door.ts"
import { fromError } from "../failures.ts"
import { mayUse } from "../KeyLimits.ts"
import { OperationRunner } from "../OperationRunner.ts"
import { optional, reader } from "../reading.ts"
import { parse, refuse } from "../refusing.ts"
import { Upstream } from "../Upstream.ts"
import { ollamaFormat } from "./format.ts"
import { loaded, show, tags } from "./models.ts"

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
    model: optional(Schema.NonEmptyString),
    name: optional(Schema.NonEmptyString),
    stream: optional(Schema.Boolean)
  })
)

const named = (body: Body) =>
  Result.flatMap(readNamed(body), ({ model, name, stream }) => {
    const asked = model ?? name
    return asked === undefined || asked === null
      ? Result.fail(new InvalidRequest({ reason: "'model' must be the name of a model", param: "model" }))
      : Result.succeed({ name: asked, stream: stream !== false })
  })

/** The id of a model that is to be pulled: Ollama's own names have no prefix, and a hub's have its host. */
export const pulledId = (name: string): Result.Result<string, InvalidRequest> => {
  if (/^file:/i.test(name)) {
    return Result.fail(
      new InvalidRequest({
        reason: "A file of a machine cannot be pulled; its owner adopts it by rbee model download"
      })
    )
  }
  if (/^(hf|ollama|https|rbee):/.test(name)) return Result.succeed(name)
  const [, hub] = /^(?:hf\.co|huggingface\.co)\/(.+)$/.exec(name) ?? []
  return Result.succeed(hub === undefined ? `ollama:${name}` : `hf:${hub}`)
}

const line = (value: object) => `${JSON.stringify(value)}\n`

/** What a client of Ollama is told of a download. */
const pullLine = ({ json, kind }: LoggedEvent): string => {
  switch (kind) {
    case "narration":
      return Option.match(readNarration(json), {
        onNone: () => "",
        onSome: ({ message }) => line({ status: message })
      })
    case "progress":
      return Option.match(readProgress(json), {
        onNone: () => "",
        onSome: ({ current, stage, total }) =>
          line({ status: `pulling ${stage}`, digest: stage, total: total ?? 0, completed: current })
      })
    case "done":
      return line({ status: "success" })
    case "failed":
      return Option.match(readFailure(json), {
        onNone: () => line({ error: "The download failed" }),
        onSome: ({ error }) => line({ error: error.message })
      })
    case "cancelled":
      return line({ error: "The download was cancelled" })
    default:
      return ""
  }
}

const pulling = (events: ReadonlyArray<LoggedEvent>) => Buffer.from(events.map(pullLine).join(""))

/** What of Ollama's API is no answer of a model. */
export const ollamaRoutes = HttpRouter.use(
  Effect.fn(function* (router) {
    const upstream = yield* Upstream
    const operations = yield* OperationRunner
    const settings = yield* Settings

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
    const shown = Effect.gen(function* () {
      const { name } = yield* asked
      return HttpServerResponse.jsonUnsafe(show(yield* upstream.find(name)))
    })
    const pull = Effect.gen(function* () {
      yield* mayChange
      const { name, stream } = yield* asked
      const model = yield* Effect.fromResult(pulledId(name))
      const operation = { operation: "model_download", hive_id: "auto", model }
      if (!stream) {
        yield* operations.run(operation)
        return HttpServerResponse.jsonUnsafe({ status: "success" })
      }
      const { events, jobId } = yield* operations.start(operation)
      return HttpServerResponse.stream(Stream.map(events, pulling), {
        contentType: "application/x-ndjson",
        headers: { "x-rbee-job-id": jobId }
      })
    })
    const remove = Effect.gen(function* () {
      yield* mayChange
      const { name } = yield* asked
      const { hives, id } = yield* upstream.find(name)
      for (const hive_id of hives) yield* operations.run({ operation: "model_delete", hive_id, id })
      return HttpServerResponse.empty({ status: 200 })
    })

    const answering = Effect.catch((error: Parameters<typeof fromError>[0]) =>
      Effect.succeed(refuse(ollamaFormat, fromError(error)))
    )
    yield* router.add("GET", "/api/tags", tagged)
    yield* router.add("GET", "/api/ps", running)
    yield* router.add("GET", "/api/version", Effect.succeed(HttpServerResponse.jsonUnsafe({ version })))
    yield* router.add("POST", "/api/show", answering(shown))
    yield* router.add("POST", "/api/pull", answering(pull))
    yield* router.add("DELETE", "/api/delete", answering(remove))
  })
)
