import { assert, describe, it } from "@effect/vitest"
import { Clock, Effect, Tracer } from "effect"
import { TestClock } from "effect/testing"
import { JobEvent } from "../../../src/job/log/JobEvent.ts"
import { StreamSpans } from "../../../src/queen/forward/StreamSpans.ts"
import { recordSpans } from "../../support/recordedSpans.ts"

const narration = JobEvent.narration("hv-worker", "spawn", "Starting")

/** Plays batches of events, one a second, and gives the spans with their times in seconds. */
const played = Effect.fnUntraced(function* (batches: ReadonlyArray<ReadonlyArray<JobEvent>>) {
  const { spans, tracer } = recordSpans()
  const play = Effect.gen(function* () {
    const open = yield* StreamSpans.start(yield* Clock.Clock)
    for (const batch of batches) {
      yield* TestClock.adjust("1 second")
      yield* open?.observe(batch) ?? Effect.void
    }
    yield* TestClock.adjust("1 second")
    return open
  })
  const open = yield* Effect.withTracer(Effect.scoped(play), tracer)
  const seconds = (nanos: bigint) => Number(nanos / 1_000_000_000n)
  const times = spans.map(({ name, status }) =>
    status._tag === "Ended" ? [name, seconds(status.startTime), seconds(status.endTime)] : [name]
  )
  return { open, times }
})

describe("the spans of a stream", () => {
  it.effect("change with the first event of the answer, and end with the stream", () =>
    Effect.gen(function* () {
      const batches = [[narration], [narration, JobEvent.token("a")], [JobEvent.token("b")]]
      const { times } = yield* played(batches)
      assert.deepStrictEqual(times, [
        ["HiveForwarder.firstToken", 0, 2],
        ["HiveForwarder.stream", 2, 4]
      ])
    })
  )

  it.effect("are one without an answer", () =>
    Effect.gen(function* () {
      const { times } = yield* played([[narration]])
      assert.deepStrictEqual(times, [["HiveForwarder.firstToken", 0, 2]])
    })
  )

  it.effect("are none where spans go nowhere", () =>
    Effect.gen(function* () {
      const spans = StreamSpans.start(yield* Clock.Clock)
      const open = yield* Effect.withTracer(Effect.scoped(spans), Tracer.nativeTracer)
      assert.isUndefined(open)
    })
  )
})
