import type * as Arr from "effect/Array"
import * as Channel from "effect/Channel"
import * as Effect from "effect/Effect"
import type * as Pull from "effect/Pull"
import * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"

/**
 * A stream over a pull whose scope stays open while the stream runs; it can be run once. It replaces chains of streams on
 * the token path, where each of Effect's operators costs a step for every event. It also releases `open`: V8 allocates
 * closures that are assigned to a property in the old generation, so what they retain waits for a full garbage collection.
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

/** A pull of another stream, while the scope is open. `Stream.toPull` would provide all services again for each pull. */
export const scopedPull = <A, E>(stream: Stream.Stream<A, E>) =>
  Effect.flatMap(Effect.scope, (scope) => Channel.toPullScoped(Stream.toChannel(stream), scope))
