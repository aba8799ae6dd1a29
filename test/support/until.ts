import { type Duration, Effect, Schedule } from "effect"

/** Asks every 20 ms until the condition holds, for 20 s at most; gives the value for which it holds. */
export const until = <A, E, R>(
  effect: Effect.Effect<A, E, R>,
  holds: (value: A) => boolean,
  within: Duration.Input = "20 seconds"
) =>
  Effect.repeat(effect, { until: holds, schedule: Schedule.spaced("20 millis") }).pipe(Effect.timeout(within))
