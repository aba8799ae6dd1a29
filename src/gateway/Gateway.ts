import * as Effect from "effect/Effect"
import * as HttpRouter from "effect/http/HttpRouter"
import type * as HttpServerRequest from "effect/http/HttpServerRequest"
import * as HttpServerResponse from "effect/http/HttpServerResponse"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import { ApiKeys } from "../config/ApiKeys.ts"
import { Caller } from "../job/Caller.ts"
import { Doors } from "../job/Doors.ts"
import { makeAnswering, refuse } from "./answering.ts"
import type { Door, Format } from "./Door.ts"
import { fromError, fromFailure } from "./failures.ts"
import { KeyLimits, mayUse } from "./KeyLimits.ts"
import { ModelFinder } from "./ModelFinder.ts"
import { chatDoor, completionsDoor, embeddingsDoor } from "./openai/completions.ts"
import { openAiFormat } from "./openai/format.ts"
import { openAiModel, openAiModels } from "./openai/models.ts"
import { Upstream } from "./Upstream.ts"

const doors: ReadonlyArray<Door> = [chatDoor, completionsDoor, embeddingsDoor]

const formats: ReadonlyMap<string, Format> = new Map(doors.map(({ format, path }) => [path, format]))

const modelsPath = "/v1/models"

const formatOf = ({ url }: HttpServerRequest.HttpServerRequest) => {
  const [path = ""] = url.split("?", 1)
  if (path === modelsPath || path.startsWith(`${modelsPath}/`)) return openAiFormat
  return formats.get(path)
}

/** Says to the guard which paths are for applications, and whose requests their keys let through. */
export const gatewayDoors = Layer.effect(
  Doors,
  Effect.gen(function* () {
    const keys = yield* ApiKeys
    return {
      refusalAt: (request: HttpServerRequest.HttpServerRequest) => {
        const format = formatOf(request)
        return format === undefined
          ? undefined
          : (_status: number, code: string, message: string) => refuse(format, fromFailure({ code, message }))
      },
      find: (key: string) => Effect.map(keys.find(key), Option.getOrUndefined),
      wantKey: Effect.map(keys.isEmpty, (isEmpty) => !isEmpty)
    }
  })
)

/** The routes for applications. */
const routes = HttpRouter.use(
  Effect.fn(function* (router) {
    const answering = yield* makeAnswering
    const upstream = yield* Upstream
    for (const door of doors) yield* router.add("POST", door.path, answering(door))

    const listed = Effect.gen(function* () {
      const { key } = yield* Caller
      const models = yield* upstream.models
      return HttpServerResponse.jsonUnsafe(openAiModels(models.filter((model) => mayUse(key, model))))
    })
    // The route also takes the path without a name.
    const one = Effect.gen(function* () {
      const { "*": name = "" } = yield* HttpRouter.params
      if (name === "") return yield* listed
      return HttpServerResponse.jsonUnsafe(openAiModel(yield* upstream.find(decodeURIComponent(name))))
    }).pipe(Effect.catch((error) => Effect.succeed(refuse(openAiFormat, fromError(error)))))
    yield* router.add("GET", `${modelsPath}/*`, one)
  })
)

/** The front doors of a daemon, over what its `Upstream` has. */
export const gatewayRoutes = routes.pipe(
  Layer.provide(ModelFinder.layerNoDeps),
  Layer.provide(KeyLimits.layer)
)
