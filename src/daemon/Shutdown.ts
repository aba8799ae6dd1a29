import * as Context from "effect/Context"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"

/** The shutdown of a daemon: `request` requests it, `requested` waits for the request. */
export class Shutdown extends Context.Service<
  Shutdown,
  {
    readonly request: Effect.Effect<void>
    readonly requested: Effect.Effect<void>
  }
>()("rbee/daemon/Shutdown") {
  static readonly layer = Layer.effect(
    Shutdown,
    Effect.gen(function* () {
      const signal = yield* Deferred.make<void>()
      return Shutdown.of({
        request: Effect.asVoid(Deferred.succeed(signal, undefined)),
        requested: Deferred.await(signal)
      })
    })
  )
}
