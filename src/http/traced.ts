import * as Effect from "effect/Effect"
import * as Tracer from "effect/Tracer"

/** Whether spans are recorded. Effect's default tracer records none, and a span costs a copy of all services of the daemon. */
export const isTraced = Effect.map(Effect.tracer, (tracer) => tracer !== Tracer.nativeTracer)

/** Runs an effect in a span if spans are recorded. */
export const traced =
  (name: string, attributes: Readonly<Record<string, unknown>>) =>
  <A, E, R>(effect: Effect.Effect<A, E, R>) =>
    Effect.flatMap(isTraced, (isTraced) =>
      isTraced ? Effect.withSpan(effect, name, { attributes: { ...attributes } }) : effect
    )
