import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as HttpServerRequest from "effect/http/HttpServerRequest"
import * as Layer from "effect/Layer"
import { BadRequest } from "./errors.ts"

interface ActiveRequest {
  readonly controller: AbortController
  readonly closed: Promise<void>
  readonly close: () => void
}

/** A registered request; `abort` aborts its signal. */
export interface OpenRequest {
  readonly id: string
  readonly signal: AbortSignal
  readonly abort: () => void
}

/** The active requests, which clients can cancel by id. */
export class Requests extends Context.Service<
  Requests,
  {
    /** Registers a request under the client's id or a new one. The signal aborts when the request is cancelled. */
    readonly open: (id: string | undefined) => Effect.Effect<OpenRequest, BadRequest>
    readonly close: (id: string) => Effect.Effect<void>
    /** Returns true once the generation has stopped and its slot is free; false if the request is unknown. */
    readonly cancel: (id: string) => Effect.Effect<boolean>
  }
>()("rbee/worker/Requests") {
  static readonly layer = Layer.sync(Requests, () => {
    const requests = new Map<string, ActiveRequest>()
    return Requests.of({
      open: (clientId) =>
        Effect.suspend(() => {
          const id = clientId ?? crypto.randomUUID()
          if (!/^[A-Za-z0-9_-]{1,128}$/.test(id) || requests.has(id)) {
            const reason = "x-request-id must be unique, with 1 to 128 letters, digits, '_' or '-'"
            return Effect.fail(new BadRequest({ reason, param: "x-request-id", code: "invalid_value" }))
          }
          const controller = new AbortController()
          const { promise, resolve } = Promise.withResolvers<void>()
          requests.set(id, { controller, closed: promise, close: resolve })
          return Effect.succeed({ id, signal: controller.signal, abort: () => controller.abort() })
        }),
      close: (id) =>
        Effect.sync(() => {
          const request = requests.get(id)
          request?.controller.abort()
          request?.close()
          requests.delete(id)
        }),
      cancel: (id) =>
        Effect.suspend(() => {
          const request = requests.get(id)
          if (request === undefined) return Effect.succeed(false)
          request.controller.abort()
          return Effect.as(
            Effect.promise(() => request.closed),
            true
          )
        })
    })
  })
}

/** Registers the current HTTP request under its `x-request-id`. */
export const openRequest = (requests: Requests["Service"]) =>
  Effect.flatMap(HttpServerRequest.HttpServerRequest, ({ headers }) => requests.open(headers["x-request-id"]))
