import { assert, describe, it } from "@effect/vitest"
import { Effect, Option, Stream } from "effect"
import { firstEvents, framesOf, silentAfter } from "../../../src/worker/mock/frames.ts"

const text = ": working\n\ndata: ä\n\nid: 1\nevent: x\ndata: b\n\n: idle\n\ndata: c\n\n"
const frames = [": working\n\n", "data: ä\n\n", "id: 1\nevent: x\ndata: b\n\n", ": idle\n\n", "data: c\n\n"]

const collect = <A>(stream: Stream.Stream<A>) => Effect.map(Stream.runCollect(stream), (all) => [...all])

describe("frames", () => {
  it.effect("are the same wherever the bytes are cut", () =>
    Effect.gen(function* () {
      const bytes = new TextEncoder().encode(text)
      for (let cut = 0; cut <= bytes.length; cut++) {
        const pieces = Stream.make(bytes.subarray(0, cut), bytes.subarray(cut))
        assert.deepStrictEqual(yield* collect(framesOf(pieces)), frames)
      }
    })
  )

  it.effect("keep a rest without a blank line", () =>
    Effect.gen(function* () {
      const bytes = new TextEncoder().encode("data: a\n\ndata: b")
      assert.deepStrictEqual(yield* collect(framesOf(Stream.make(bytes))), ["data: a\n\n", "data: b"])
    })
  )

  it.effect("are cut after a number of events, comments not counted", () =>
    Effect.gen(function* () {
      assert.deepStrictEqual(yield* collect(firstEvents(Stream.fromIterable(frames), 2)), frames.slice(0, 3))
      assert.deepStrictEqual(yield* collect(firstEvents(Stream.fromIterable(frames), 9)), frames)
    })
  )

  it.effect("stop without an end, while the source is read to its end", () =>
    Effect.gen(function* () {
      let isRead = false
      const source = Stream.fromIterable(frames).pipe(
        Stream.ensuring(
          Effect.sync(() => {
            isRead = true
          })
        )
      )
      const seen: Array<string> = []
      const reading = Stream.runForEach(silentAfter(source, 1), (frame) =>
        Effect.sync(() => seen.push(frame))
      )
      const ended = yield* Effect.timeoutOption(Effect.raceFirst(reading, Effect.yieldNow), "1 second")
      assert.isTrue(Option.isSome(ended))
      assert.deepStrictEqual(seen, frames.slice(0, 2))
      assert.isTrue(isRead)
    })
  )
})
