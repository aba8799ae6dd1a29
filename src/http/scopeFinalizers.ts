import * as Effect from "effect/Effect"
import type * as Exit from "effect/Exit"
import * as Scope from "effect/Scope"

// Effect's own versions keep the finalizer's context and merge it into the context of the fiber that closes the scope. In a
// daemon that copies all of its services: 10 us and 10 kB for every finalizer of every request.

/** `Effect.addFinalizer` for a finalizer that needs no services. */
export const addFinalizer = (finalizer: (exit: Exit.Exit<unknown, unknown>) => Effect.Effect<void>) =>
  Effect.flatMap(Effect.scope, (scope) => Scope.addFinalizerExit(scope, finalizer))

/** `Effect.acquireRelease` for a release that needs no services. */
export const acquireRelease = <A, E, R>(
  acquire: Effect.Effect<A, E, R>,
  release: (acquired: A) => Effect.Effect<void>,
  options: { readonly interruptible?: boolean } = {}
) =>
  Effect.uninterruptibleMask((restore) =>
    Effect.tap(options.interruptible === true ? restore(acquire) : acquire, (acquired) =>
      addFinalizer(() => release(acquired))
    )
  )
