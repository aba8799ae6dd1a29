import * as Effect from "effect/Effect"
import * as HttpClient from "effect/http/HttpClient"
import * as HttpClientError from "effect/http/HttpClientError"
import * as HttpClientRequest from "effect/http/HttpClientRequest"
import * as HttpClientResponse from "effect/http/HttpClientResponse"
import * as HttpRouter from "effect/http/HttpRouter"
import * as Layer from "effect/Layer"
import { type Script, scriptedRoutes } from "./Script.ts"

type Handler = (request: Request) => Promise<Response>

const handlerOf = (script: Script) =>
  Effect.map(
    Effect.acquireRelease(
      Effect.sync(() =>
        HttpRouter.toWebHandler(Layer.fresh(scriptedRoutes(script)), { disableLogger: true })
      ),
      ({ dispose }) => Effect.promise(dispose)
    ),
    ({ handler }): Handler => handler
  )

const refused = { code: "ECONNREFUSED" }

/**
 * An HTTP client without sockets: each origin (`http://atlas:8081`) is a hive that answers from its script, with the bytes of a
 * real hive. Other origins refuse the connection.
 */
export const fakeHttpClient = (hives: Readonly<Record<string, Script>>) =>
  Layer.effect(
    HttpClient.HttpClient,
    Effect.gen(function* () {
      const handlers = new Map<string, Handler>()
      for (const [origin, script] of Object.entries(hives)) handlers.set(origin, yield* handlerOf(script))

      return HttpClient.make((request, url, signal) => {
        const failed = (cause: unknown) =>
          new HttpClientError.HttpClientError({
            reason: new HttpClientError.TransportError({ request, cause })
          })
        const handler = handlers.get(url.origin)
        if (handler === undefined) return Effect.fail(failed(refused))
        return HttpClientRequest.toWeb(request, { signal }).pipe(
          Effect.flatMap((web) => Effect.tryPromise(() => handler(web))),
          Effect.mapBoth({
            onFailure: failed,
            onSuccess: (response) => HttpClientResponse.fromWeb(request, response)
          })
        )
      })
    })
  )
