import type * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import type * as Tracer from "effect/Tracer"
import { addFinalizer } from "../../http/scopeFinalizers.ts"
import { isTraced } from "../../http/traced.ts"
import { isDroppable, type JobEvent } from "../../job/log/JobEvent.ts"

const isAnswer = ({ kind }: JobEvent) => !isDroppable(kind)

/**
 * The spans of a hive's stream: `HiveForwarder.firstToken` until the first event that is part of an answer, and
 * `HiveForwarder.stream` from there to the end.
 */
export class StreamSpans {
  readonly #clock: Clock.Clock
  #span: Tracer.Span
  #hasBegun = false

  private constructor(clock: Clock.Clock, span: Tracer.Span) {
    this.#clock = clock
    this.#span = span
  }

  /** Begins the first span, unless spans go nowhere. The span that is open when the scope closes ends then. */
  static readonly start = Effect.fnUntraced(function* (clock: Clock.Clock) {
    if (!(yield* isTraced)) return undefined
    const spans = new StreamSpans(clock, yield* Effect.makeSpan("HiveForwarder.firstToken"))
    yield* addFinalizer((exit) => Effect.sync(() => spans.#end(exit)))
    return spans
  })

  /** Begins the second span with the first event that is part of an answer. */
  observe(events: ReadonlyArray<JobEvent>): Effect.Effect<void> {
    if (this.#hasBegun || !events.some(isAnswer)) return Effect.void
    this.#hasBegun = true
    return Effect.map(Effect.makeSpan("HiveForwarder.stream"), (span) => {
      this.#end(Exit.void)
      this.#span = span
    })
  }

  #end(exit: Exit.Exit<unknown, unknown>) {
    this.#span.end(this.#clock.currentTimeNanosUnsafe(), exit)
  }
}
