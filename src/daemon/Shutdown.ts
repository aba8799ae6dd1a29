import * as Context from "effect/Context"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"

/** The stop of a daemon: asked for by `request`, awaited by `requested`. */
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
      const asked = yield* Deferred.make<void>()
      return Shutdown.of({
        request: Effect.asVoid(Deferred.succeed(asked, undefined)),
        requested: Deferred.await(asked)
      })
    })
  )
}
