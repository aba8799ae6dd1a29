import type * as Arr from "effect/Array"
import * as Channel from "effect/Channel"
import * as Effect from "effect/Effect"
import type * as Pull from "effect/Pull"
import * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"

/**
 * A stream of what can be pulled while a scope is open, to be run once. It stands in for chains of streams on the way of
 * a token: each of Effect's is a step for every event. And it lets go of `open`: what a stream holds is left to the slow
 * garbage collection, because V8 makes closures that are assigned to a property in the old generation.
 */
export const fromScopedPull = <A, E, E2>(
  open: Effect.Effect<Pull.Pull<Arr.NonEmptyReadonlyArray<A>, E>, E2, Scope.Scope>
): Stream.Stream<A, Pull.ExcludeDone<E> | E2> => {
  let once: typeof open = open
  return Stream.fromChannel(
    Channel.fromTransform((_, scope) => {
      const opening = once
      once = wasRun
      return Scope.provide(opening, scope)
    })
  )
}

const wasRun = Effect.die(new Error("a stream that can be run once is run again"))

/** What another stream gives, while the scope is open. `Stream.toPull` would provide all services anew for each pull. */
export const scopedPull = <A, E>(stream: Stream.Stream<A, E>) =>
  Effect.flatMap(Effect.scope, (scope) => Channel.toPullScoped(Stream.toChannel(stream), scope))
