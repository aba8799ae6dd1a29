import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { BadRequest } from "./errors.ts"

interface Open {
  readonly controller: AbortController
  readonly closed: Promise<void>
  readonly close: () => void
}

/** The requests that generate now, so that each can be stopped from outside. */
export class Requests extends Context.Service<
  Requests,
  {
    /** Takes the caller's id, or makes one. The signal comes when the request is cancelled. */
    readonly open: (
      id: string | undefined
    ) => Effect.Effect<{ readonly id: string; readonly signal: AbortSignal }, BadRequest>
    readonly close: (id: string) => Effect.Effect<void>
    /** Returns when the generation has stopped and its slot is free; false when there is no such request. */
    readonly cancel: (id: string) => Effect.Effect<boolean>
  }
>()("rbee/worker/Requests") {
  static readonly layer = Layer.sync(Requests, () => {
    const requests = new Map<string, Open>()
    return Requests.of({
      open: (given) =>
        Effect.suspend(() => {
          const id = given ?? crypto.randomUUID()
          if (!/^[A-Za-z0-9_-]{1,128}$/.test(id) || requests.has(id)) {
            const reason = "x-request-id must be new, and 1 to 128 letters, digits, '_' and '-'"
            return Effect.fail(new BadRequest({ reason, param: "x-request-id", code: "invalid_value" }))
          }
          const controller = new AbortController()
          const { promise, resolve } = Promise.withResolvers<void>()
          requests.set(id, { controller, closed: promise, close: resolve })
          return Effect.succeed({ id, signal: controller.signal })
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
