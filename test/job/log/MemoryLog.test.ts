import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { JobEvent, type LoggedEvent } from "../../../src/job/log/JobEvent.ts"
import { type Cursor, start } from "../../../src/job/log/JobLog.ts"
import { MemoryLog } from "../../../src/job/log/MemoryLog.ts"

const narration = (text: string) => JobEvent.narration("actor", "action", text)

const readAll = (log: MemoryLog, after = 0) =>
  Effect.gen(function* () {
    const events: Array<LoggedEvent> = []
    let cursor: Cursor = { ...start, after }
    while (true) {
      const batch = yield* log.read(cursor)
      if (batch.events.length === 0) return events
      events.push(...batch.events)
      cursor = batch.next
    }
  })

describe("MemoryLog", () => {
  it.effect("numbers from one, and gives each reader the same from any point", () =>
    Effect.gen(function* () {
      const log = new MemoryLog(1_000_000)
      yield* log.append([JobEvent.token("a"), JobEvent.token("b")])
      yield* log.append([JobEvent.token("c")])
      yield* log.end(JobEvent.done({ queued_ms: 0, run_ms: 1 }))
      for (let after = 0; after <= 4; after++) {
        const events = yield* readAll(log, after)
        assert.deepStrictEqual(
          events.map(({ id }) => id),
          [1, 2, 3, 4].slice(after)
        )
      }
      assert.isTrue((yield* log.read({ after: 3, reportedDropped: 0 })).ended)
      assert.isFalse((yield* new MemoryLog(10).read(start)).ended)
    })
  )

  it.effect("takes nothing after the end, and one end only", () =>
    Effect.gen(function* () {
      const log = new MemoryLog(1_000_000)
      yield* log.end(JobEvent.cancelled(true))
      yield* log.append([JobEvent.token("late")])
      yield* log.end(JobEvent.done({ queued_ms: 0, run_ms: 0 }))
      assert.deepStrictEqual(
        (yield* readAll(log)).map(({ kind }) => kind),
        ["cancelled"]
      )
    })
  )

  it.effect("keeps a hive's numbers plus the count of the queen's own events", () =>
    Effect.gen(function* () {
      const log = new MemoryLog(1_000_000)
      yield* log.append([narration("one"), narration("two")])
      yield* log.append([new JobEvent("token", `{"text":"a"}`, 1), new JobEvent("token", `{"text":"b"}`, 5)])
      yield* log.append([new JobEvent("token", `{"text":"b"}`, 5), new JobEvent("token", `{"text":"c"}`, 6)])
      yield* log.append([new JobEvent("token", `{"text":"d"}`, 2 ** 52)])
      yield* log.end(JobEvent.cancelled(true))
      assert.deepStrictEqual(
        (yield* readAll(log)).map(({ id }) => id),
        [1, 2, 3, 7, 8, 2 ** 52 + 2, 2 ** 52 + 3]
      )
    })
  )

  it.effect("drops the oldest narration first, says so once, and never drops a token", () =>
    Effect.gen(function* () {
      const log = new MemoryLog(20_000)
      yield* log.append([narration("first")])
      for (let i = 0; i < 200; i++) yield* log.append([narration(`step ${i}`), JobEvent.token("x")])
      yield* log.end(JobEvent.done({ queued_ms: 0, run_ms: 0 }))
      const events = yield* readAll(log)
      assert.strictEqual(events.filter(({ kind }) => kind === "token").length, 200)
      const notices = events.filter(({ json }) => json.includes("were dropped"))
      assert.strictEqual(notices.length, 1)
      assert.isAtMost(yield* log.bytes, 20_000)
      const ids = events.map(({ id }) => id)
      assert.deepStrictEqual(
        ids,
        [...new Set(ids)].sort((a, b) => a - b)
      )
      const dropped = 401 - events.filter(({ kind }) => kind === "narration").length + 1 - 200
      assert.include(notices[0]?.json, `${dropped} earlier lines`)
      const late = yield* readAll(log, ids.at(-2) ?? 0)
      assert.deepStrictEqual(
        late.map(({ kind }) => kind),
        ["done"]
      )
    })
  )

  it.effect("fails when only results are left to drop, and the end still has room", () =>
    Effect.gen(function* () {
      const log = new MemoryLog(1_000)
      const error = yield* Effect.flip(
        log.append(Array.from({ length: 50 }, () => JobEvent.token("twelve bytes")))
      )
      assert.strictEqual(error._tag, "LogFull")
      assert.include(error.message, "1000 bytes")
      yield* log.end(JobEvent.failed({ code: error._tag, message: error.message }))
      assert.strictEqual((yield* readAll(log)).at(-1)?.kind, "failed")
    })
  )

  it.effect("gives from every point what was written, however long ago that was", () =>
    Effect.gen(function* () {
      const texts = ["a", "äöü", "日本語", "🐝", "\u0000", "x".repeat(3_000)]
      // Rows of one kind, broken now and then by narration, by a gap in a hive's numbers, by data of several lines.
      const written = Array.from({ length: 2_000 }, (_, i) => {
        if (i % 151 === 0) return narration(`step ${i}`)
        if (i % 97 === 0) return new JobEvent("chunk", `{"lines":\n${i}}`)
        const id = i % 401 === 0 ? 2 * i : undefined
        return new JobEvent(
          i % 600 < 300 ? "token" : "chunk",
          JSON.stringify([i, texts[i % texts.length]]),
          id
        )
      })
      const log = new MemoryLog(64_000_000)
      const given: Array<LoggedEvent> = []
      let cursor: Cursor = start
      for (const event of written) {
        yield* log.append([event])
        const batch = yield* log.read(cursor)
        given.push(...batch.events)
        cursor = batch.next
      }
      const known = given.map(({ json, kind }) => ({ json, kind }))
      assert.deepStrictEqual(
        known,
        written.map(({ json, kind }) => ({ json, kind }))
      )
      for (const [index, { id }] of given.entries()) {
        const { events } = yield* log.read({ ...start, after: id })
        assert.deepStrictEqual(events[0], given[index + 1])
        if (index % 50 === 0) assert.deepStrictEqual(yield* readAll(log, id), given.slice(index + 1))
      }
    })
  )

  it.effect("loses nothing of 100,000 lines written at once", () =>
    Effect.gen(function* () {
      const log = new MemoryLog(64_000_000)
      yield* log.append(Array.from({ length: 100_000 }, (_, i) => JobEvent.line(`line ${i}`)))
      yield* log.end(JobEvent.done({ queued_ms: 0, run_ms: 0 }))
      const events = yield* readAll(log)
      assert.strictEqual(events.length, 100_001)
      assert.strictEqual(events[99_999]?.json, `{"text":"line 99999"}`)
    })
  )
})
