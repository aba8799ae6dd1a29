import { assert, describe, it } from "@effect/vitest"
import { Deferred, Duration, Effect, Exit, Fiber, Layer, Scope, Stream } from "effect"
import { TestClock } from "effect/testing"
import { hivePool } from "../../../src/http/hivePool.ts"
import { JobsClient } from "../../../src/job/client/JobsClient.ts"
import type { OperationError } from "../../../src/job/errors.ts"
import { batches, Ticker } from "../../../src/job/log/Follower.ts"
import { JobEvent } from "../../../src/job/log/JobEvent.ts"
import { MemoryLog } from "../../../src/job/log/MemoryLog.ts"
import { fullView } from "../../../src/job/view/FullView.ts"
import { plainView } from "../../../src/job/view/PlainView.ts"
import { hiveAnswer } from "../../../src/operation/Routing.ts"
import { Settings } from "../../../src/settings/Settings.ts"
import {
  ask,
  inOwnScope,
  parseEvents,
  rawGet,
  startDaemon,
  submitTo,
  type Works
} from "../../support/daemon.ts"

const tokens = (...texts: ReadonlyArray<string>) =>
  Stream.fromIterable(texts.map((text) => JobEvent.token(text)))

const lines = (count: number, text: (i: number) => string) =>
  Stream.map(Stream.range(0, count - 1), (i) => JobEvent.line(text(i)))

const broken: OperationError = { _tag: "Broken", message: "The disk\nis full" }

const works: Works = {
  echo:
    ({ prompt }) =>
    () =>
      tokens(String(prompt)),
  length:
    ({ prompt }) =>
    () =>
      Stream.make(JobEvent.result({ length: String(prompt).length })),
  wait: () => () => Stream.never,
  answer: () => ({ work: () => Stream.concat(tokens("a"), Stream.never), routing: hiveAnswer }),
  lines:
    ({ count, tag }) =>
    () =>
      lines(Number(count), (i) => `${String(tag)} line ${i}`),
  fail: () => () => Stream.concat(tokens("before"), Stream.fail(broken)),
  bug: () => () => Stream.die(new TypeError("oh no"))
}

const clientLayer = JobsClient.layerNoDeps.pipe(
  Layer.provide(hivePool),
  Layer.provide(Settings.layerDefaults())
)

const start = (more: Works = {}, settings = {}) => startDaemon({ works: { ...works, ...more }, settings })

const plain = (url: string, id: string, headers = "") => rawGet(url, `/v1/jobs/${id}/stream`, headers)
const full = (url: string, id: string, headers = "") => rawGet(url, `/v1/jobs/${id}/events`, headers)

const wholeBody = (url: string, path: string, headers = {}) =>
  Effect.map(ask(url, { path, headers }), ({ text }) => text)

const opening = (operation: string) =>
  `data: [test-rtr  ] route_job      : Executing operation: ${operation}\n\n`

describe("POST /v1/jobs", () => {
  it.live("answers with the job and its plain view, whatever the content type", () =>
    Effect.gen(function* () {
      const { url } = yield* start()
      const answer = yield* ask(url, {
        method: "POST",
        path: "/v1/jobs",
        body: `{"operation":"echo","prompt":"x"}`,
        headers: { "content-type": "text/plain" }
      })
      assert.strictEqual(answer.status, 200)
      const { job_id, ...rest } = JSON.parse(answer.text)
      assert.match(job_id, /^job-[0-9a-f-]{36}$/)
      assert.deepStrictEqual(rest, { sse_url: `/v1/jobs/${job_id}/stream` })
    })
  )

  it.live("passes a prompt of 1 MB unchanged", () =>
    Effect.gen(function* () {
      const { url } = yield* start()
      const prompt = 'äöü€𝄞\u2028"\\\r\n '.repeat(80_000)
      const id = yield* submitTo(url, { operation: "echo", prompt })
      const token = parseEvents(yield* wholeBody(url, `/v1/jobs/${id}/events`))[1]
      assert.isAbove(Buffer.byteLength(prompt), 1_000_000)
      assert.isTrue(JSON.parse(token?.json ?? "{}").text === prompt)
    })
  )

  it.live("rejects a body over the limit with 413, announced or not, and creates no job", () =>
    Effect.gen(function* () {
      const { jobs, url } = yield* start({}, { limits: { bodyBytes: 100_000 } })
      const body = JSON.stringify({ operation: "echo", prompt: "x".repeat(200_000) })
      for (const headers of [{ "content-length": body.length }, { "transfer-encoding": "chunked" }]) {
        const answer = yield* ask(url, { method: "POST", path: "/v1/jobs", body, headers })
        assert.strictEqual(answer.status, 413)
        assert.include(answer.text, "limits.body_bytes")
      }
      assert.deepStrictEqual(yield* jobs.list, [])
      yield* submitTo(url, { operation: "echo", prompt: "x".repeat(99_000) })
    })
  )

  it.live("rejects an invalid operation with 400 and creates no job", () =>
    Effect.gen(function* () {
      const { jobs, url } = yield* start()
      for (const body of [
        "",
        " ",
        "null",
        "[]",
        "[1]",
        "5",
        `"x"`,
        "{",
        "{}",
        `{"operation":5}`,
        `{"operation":"x"}`
      ]) {
        const { status, text } = yield* ask(url, { method: "POST", path: "/v1/jobs", body })
        assert.strictEqual(status, 400, body)
        assert.isString(JSON.parse(text).error.message)
      }
      assert.deepStrictEqual(yield* jobs.list, [])
    })
  )

  it.live("gives a hundred concurrent submissions a hundred ids", () =>
    Effect.gen(function* () {
      const { url } = yield* start()
      const ids = yield* Effect.forEach(
        Array.from({ length: 100 }),
        () => submitTo(url, { operation: "wait" }),
        { concurrency: "unbounded" }
      )
      assert.strictEqual(new Set(ids).size, 100)
    })
  )

  it.live(
    "returns the same job for the same Idempotency-Key, also concurrently, and 422 for another body",
    () =>
      Effect.gen(function* () {
        const { jobs, url } = yield* start()
        const headers = { "idempotency-key": "order-66" }
        const ids = yield* Effect.forEach(
          Array.from({ length: 30 }),
          () => submitTo(url, { operation: "wait" }, headers),
          { concurrency: "unbounded" }
        )
        assert.strictEqual(new Set(ids).size, 1)
        assert.strictEqual((yield* jobs.list).length, 1)
        const post = (body: string, key: string) =>
          ask(url, { method: "POST", path: "/v1/jobs", body, headers: { "idempotency-key": key } })
        const other = yield* post(`{"operation":"echo"}`, "order-66")
        assert.strictEqual(other.status, 422)
        assert.include(other.text, "IdempotencyConflict")
        for (const key of ["", "two words", "x".repeat(256)]) {
          assert.strictEqual((yield* post(`{"operation":"wait"}`, key)).status, 400, key)
        }
      })
  )
})

describe("job records and cancellation", () => {
  it.live("lists jobs newest first, and returns one by its id", () =>
    Effect.gen(function* () {
      const { url } = yield* start()
      const first = yield* submitTo(url, { operation: "fail" })
      yield* wholeBody(url, `/v1/jobs/${first}/stream`)
      const second = yield* submitTo(url, { operation: "wait" })
      const { jobs } = JSON.parse(yield* wholeBody(url, "/v1/jobs"))
      assert.deepStrictEqual(
        jobs.map(({ job_id }: { job_id: string }) => job_id),
        [second, first]
      )
      const record = JSON.parse(yield* wholeBody(url, `/v1/jobs/${first}`))
      assert.deepStrictEqual(record, jobs[1])
      assert.deepStrictEqual(
        [record.operation, record.state, record.error],
        ["fail", "failed", { code: "Broken", message: "The disk\nis full" }]
      )
      assert.isAtMost(Date.parse(record.created_at), Date.parse(record.ended_at))
    })
  )

  it.live("cancels a running and a queued job, and answers 409 for an ended and 404 for an unknown job", () =>
    Effect.gen(function* () {
      const { url } = yield* start({}, { limits: { jobsRunning: 1 } })
      const running = yield* submitTo(url, { operation: "answer" })
      const queued = yield* submitTo(url, { operation: "wait" })
      const remove = (id: string) => ask(url, { method: "DELETE", path: `/v1/jobs/${id}` })
      for (const id of [queued, running]) {
        const { status, text } = yield* remove(id)
        assert.deepStrictEqual([status, JSON.parse(text)], [200, { job_id: id, status: "cancelled" }])
      }
      assert.strictEqual(
        yield* wholeBody(url, `/v1/jobs/${running}/stream`),
        `${opening("answer")}data: a\n\ndata: [CANCELLED]\n\n`
      )
      const ended = yield* remove(running)
      assert.strictEqual(ended.status, 409)
      assert.include(ended.text, "already ended: cancelled")
      for (const path of ["job-unknown", "job-unknown/stream", "job-unknown/events"]) {
        assert.strictEqual((yield* ask(url, { path: `/v1/jobs/${path}` })).status, 404)
      }
      assert.strictEqual((yield* remove("job-unknown")).status, 404)
    })
  )

  it.live("acknowledges a cancel only after the work has stopped", () =>
    Effect.gen(function* () {
      const stopping = yield* Deferred.make<void>()
      const gate = yield* Deferred.make<void>()
      const finalizer = Effect.andThen(Deferred.succeed(stopping, undefined), Deferred.await(gate))
      const { jobs, url } = yield* start({ gated: () => () => Stream.ensuring(Stream.never, finalizer) })
      const id = yield* submitTo(url, { operation: "gated" })
      const cancelling = yield* Effect.forkChild(ask(url, { method: "DELETE", path: `/v1/jobs/${id}` }))
      yield* Deferred.await(stopping)
      const following = yield* full(url, id)
      yield* following.until(({ received }) => received.includes("route_job"))
      assert.isUndefined(cancelling.pollUnsafe())
      assert.strictEqual((yield* jobs.get(id)).state, "running")
      yield* Deferred.succeed(gate, undefined)
      assert.strictEqual((yield* Fiber.join(cancelling)).status, 200)
      yield* following.until(({ closed }) => closed)
      assert.isTrue(following.body.endsWith(`event: cancelled\ndata: {"confirmed":true}\n\n`))
    })
  )
})

describe("the plain view", () => {
  it.live("consists of these bytes, and never splits an event over two writes", () =>
    Effect.gen(function* () {
      const { url } = yield* start({
        all: () => (job) =>
          Stream.fromIterable([
            JobEvent.narration("abc", "xyz", "Short", job.id),
            JobEvent.narration("a-long-actor", "an-action-that-is-long", "Not\ncut"),
            JobEvent.progress({ stage: "Download", current: 5, total: 10, unit: "MB", eta_ms: 1500 }),
            JobEvent.token("two\nlines"),
            JobEvent.token("a\r\nb\rc"),
            JobEvent.token(" "),
            JobEvent.token(""),
            JobEvent.token("€𝄞"),
            JobEvent.line("[DONE]"),
            JobEvent.line("[ERROR] x"),
            JobEvent.line("it says [DONE]"),
            JobEvent.result({ workers: [{ id: "w1", model: "m" }, { id: "w22" }] }),
            JobEvent.result({ text: "two", finish_reason: "stop", usage: {} })
          ])
      })
      const id = yield* submitTo(url, { operation: "all" })
      const reading = yield* plain(url, id)
      yield* reading.until(({ closed }) => closed)
      assert.match(reading.received, /^HTTP\/1\.1 200 OK\r\n/)
      assert.match(reading.received, /\r\ncontent-type: text\/event-stream\r\n/i)
      assert.match(reading.received, /\r\ncache-control: no-cache\r\n/i)
      assert.strictEqual(
        reading.body,
        opening("all") +
          "data: [abc       ] xyz            : Short\n\n" +
          "data: [a-long-actor] an-action-that-is-long: Not\ndata: cut\n\n" +
          "data: [progress  ] progress       : Download: 5 of 10 MB (50%), 2 s left\n\n" +
          "data: two\ndata: lines\n\n" +
          "data: a\ndata: b\ndata: c\n\n" +
          "data:  \n\n" +
          "data: \n\n" +
          "data: €𝄞\n\n" +
          "data:  [DONE]\n\n" +
          "data:  [ERROR] x\n\n" +
          "data: it says [DONE]\n\n" +
          "data: id   model\ndata: w1   m\ndata: w22  -\n\n" +
          "data: [DONE]\n\n"
      )
      for (const chunk of reading.chunks) assert.match(chunk, /^data: [^]*\n\n$/)
    })
  )

  it.live("ends with exactly one marker; a failure takes one line", () =>
    Effect.gen(function* () {
      const { url } = yield* start()
      const failed = yield* submitTo(url, { operation: "fail" })
      const body = yield* wholeBody(url, `/v1/jobs/${failed}/stream`)
      assert.strictEqual(
        body,
        `${opening("fail")}data: before\n\n` +
          `data: [job-exec  ] failed         : Job ${failed} failed: The disk is full\n\n` +
          "data: [ERROR] The disk is full\n\n"
      )
      const bug = yield* submitTo(url, { operation: "bug" })
      const text = yield* wholeBody(url, `/v1/jobs/${bug}/stream`)
      assert.match(text, /data: \[ERROR\] Internal error in job '[^\n]*\n\n$/)
      assert.notInclude(text, "oh no")
    })
  )

  it.live("continues after the event of ?after=", () =>
    Effect.gen(function* () {
      const { url } = yield* start({
        told: () => () =>
          Stream.concat(
            tokens("a"),
            Stream.make(JobEvent.result({ text: "a", finish_reason: "stop", usage: {} }))
          )
      })
      const id = yield* submitTo(url, { operation: "told" })
      assert.strictEqual(
        yield* wholeBody(url, `/v1/jobs/${id}/stream`),
        `${opening("told")}data: a\n\ndata: [DONE]\n\n`
      )
      assert.strictEqual(yield* wholeBody(url, `/v1/jobs/${id}/stream?after=2`), "data: [DONE]\n\n")
    })
  )
})

describe("the full view", () => {
  it.live("has id, kind and JSON, and exactly one end, which is last", () =>
    Effect.gen(function* () {
      const { url } = yield* start()
      const id = yield* submitTo(url, { operation: "fail" })
      const reading = yield* full(url, id)
      yield* reading.until(({ closed }) => closed)
      assert.strictEqual(
        reading.body,
        `id: 1\nevent: narration\ndata: {"actor":"test-rtr","action":"route_job","message":"Executing operation: fail","job_id":"${id}"}\n\n` +
          `id: 2\nevent: token\ndata: {"text":"before"}\n\n` +
          `id: 3\nevent: failed\ndata: {"error":{"code":"Broken","message":"The disk\\nis full"}}\n\n`
      )
    })
  )

  it.live("continues after every event n with n+1, by Last-Event-ID and by ?after=", () =>
    Effect.gen(function* () {
      const gate = yield* Deferred.make<void>()
      const { url } = yield* start({
        gated: () => () =>
          Stream.concat(
            tokens(..."abcdef"),
            Stream.unwrap(Effect.as(Deferred.await(gate), tokens(..."ghij")))
          )
      })
      const id = yield* submitTo(url, { operation: "gated" })
      const cut = yield* full(url, id)
      yield* cut.until(({ received }) => received.includes(`id: 7\n`))
      cut.socket.destroy()
      const early = yield* Effect.forEach(Array.from({ length: 12 }), (_, n) =>
        full(url, id, `Last-Event-ID: ${n}\r\n`)
      )
      yield* Deferred.succeed(gate, undefined)
      const all = yield* wholeBody(url, `/v1/jobs/${id}/events`)
      const ids = parseEvents(all).map((event) => event.id)
      assert.deepStrictEqual(
        ids,
        Array.from({ length: 12 }, (_, i) => i + 1)
      )
      const idsOf = (body: string) => parseEvents(body).map((event) => event.id)
      for (let n = 0; n < 12; n++) {
        const connection = early[n]
        assert.isDefined(connection)
        yield* connection.until(({ closed }) => closed)
        assert.deepStrictEqual(idsOf(connection.body), ids.slice(n))
        const headers = { "last-event-id": `${n}` }
        assert.deepStrictEqual(idsOf(yield* wholeBody(url, `/v1/jobs/${id}/events`, headers)), ids.slice(n))
        assert.deepStrictEqual(idsOf(yield* wholeBody(url, `/v1/jobs/${id}/events?after=${n}`)), ids.slice(n))
      }
      assert.strictEqual(yield* wholeBody(url, `/v1/jobs/${id}/events?after=99`), "")
      for (const bad of ["-1", "1.5", "x", "1e999", "%00"]) {
        const answer = yield* ask(url, { path: `/v1/jobs/${id}/events?after=${bad}` })
        assert.strictEqual(answer.status, 400, bad)
      }
    })
  )

  it.live("is read by rbee's client to its real end if texts contain [DONE]", () =>
    Effect.gen(function* () {
      const texts = ["[DONE]", "data: [DONE]\n\n", "x [DONE] y", "[ERROR] no", "[CANCELLED]"]
      const { url } = yield* start({ trap: () => () => tokens(...texts) })
      const client = yield* JobsClient
      const id = yield* client.submit({ url }, `{"operation":"trap"}`)
      const events = yield* Stream.runCollect(client.events({ url }, id))
      assert.deepStrictEqual(
        events.filter(({ kind }) => kind === "token").map(({ json }) => JSON.parse(json).text),
        texts
      )
      assert.strictEqual(events.at(-1)?.kind, "done")
    }).pipe(Effect.provide(clientLayer))
  )
})

describe("many and slow followers", () => {
  it.live("receive all of 100,000 lines that are emitted at once, in both views", () =>
    Effect.gen(function* () {
      const { url } = yield* start()
      const id = yield* submitTo(url, { operation: "lines", count: 100_000, tag: "t" })
      const [plainText, fullText] = yield* Effect.all(
        [wholeBody(url, `/v1/jobs/${id}/stream`), wholeBody(url, `/v1/jobs/${id}/events`)],
        { concurrency: 2 }
      )
      const expected = Array.from({ length: 100_000 }, (_, i) => `t line ${i}`)
      const shown = plainText.split("\n\n").map((frame) => frame.slice(6))
      assert.isTrue(shown.slice(1, -2).join() === expected.join())
      assert.strictEqual(shown.at(-2), "[DONE]")
      const events = parseEvents(fullText)
      assert.strictEqual(events.length, 100_002)
      assert.isTrue(
        events
          .slice(1, -1)
          .map(({ json }) => JSON.parse(json).text)
          .join() === expected.join()
      )
    })
  )

  it.live("lose nothing, and are not delayed by a follower that never reads", () =>
    Effect.gen(function* () {
      const { jobs, url } = yield* start()
      const id = yield* submitTo(url, { operation: "lines", count: 30_000, tag: "x".repeat(500) })
      const stalled = yield* full(url, id)
      stalled.socket.pause()
      const other = yield* wholeBody(url, `/v1/jobs/${id}/events`)
      assert.strictEqual(parseEvents(other).length, 30_002)
      assert.strictEqual((yield* jobs.get(id)).state, "completed")
      assert.isFalse(stalled.closed)
      stalled.socket.resume()
      yield* stalled.until(({ closed }) => closed)
      assert.isTrue(stalled.body === other)
    })
  )

  it.live("receive only the events of their own job while a hundred jobs run", () =>
    Effect.gen(function* () {
      const { url } = yield* start()
      yield* Effect.forEach(
        Array.from({ length: 100 }),
        Effect.fnUntraced(function* (_, i) {
          const id = yield* submitTo(url, { operation: "lines", count: 200, tag: `<${i}>` })
          const events = parseEvents(yield* wholeBody(url, `/v1/jobs/${id}/events`))
          assert.strictEqual(events.length, 202)
          assert.include(events[0]?.json, id)
          for (const [n, { json }] of events.slice(1, -1).entries()) {
            assert.strictEqual(JSON.parse(json).text, `<${i}> line ${n}`)
          }
        }),
        { concurrency: "unbounded", discard: true }
      )
    })
  )

  it.live("include a queen: its answer is kept after it disconnects, until it is deleted", () =>
    Effect.gen(function* () {
      const { url } = yield* start({}, { limits: { graceAfterLastFollower: Duration.millis(50) } })
      const own = yield* submitTo(url, { operation: "answer" })
      const ofQueen = yield* submitTo(url, { operation: "answer" }, { "x-rbee-queen": "queen-1" })
      for (const id of [ofQueen, own]) {
        const reading = yield* full(url, id)
        yield* reading.until(({ received }) => received.includes("event: token"))
        reading.socket.destroy()
      }
      const stateOf = (id: string) =>
        Effect.map(wholeBody(url, `/v1/jobs/${id}`), (text) => JSON.parse(text).state)
      yield* Effect.repeat(stateOf(own), { until: (state) => state === "cancelled" }).pipe(
        Effect.timeout("5 seconds")
      )
      assert.strictEqual(yield* stateOf(ofQueen), "running")
      assert.strictEqual((yield* ask(url, { method: "DELETE", path: `/v1/jobs/${ofQueen}` })).status, 200)
      assert.strictEqual(yield* stateOf(ofQueen), "cancelled")
    })
  )

  it.live("cancel an answer when the last one has disconnected and the grace period is over", () =>
    Effect.gen(function* () {
      const { url } = yield* start({}, { limits: { graceAfterLastFollower: Duration.millis(50) } })
      const id = yield* submitTo(url, { operation: "answer" })
      const reading = yield* full(url, id)
      yield* reading.until(({ received }) => received.includes("event: token"))
      reading.socket.destroy()
      yield* Effect.repeat(wholeBody(url, `/v1/jobs/${id}`), {
        until: (text) => JSON.parse(text).state === "cancelled"
      }).pipe(Effect.timeout("5 seconds"))
    })
  )
})

describe("signs of life", () => {
  it.live("include headers and the first event at once, while the work waits or is queued", () =>
    Effect.gen(function* () {
      const { url } = yield* start({}, { limits: { jobsRunning: 1 } })
      for (let i = 0; i < 2; i++) {
        const id = yield* submitTo(url, { operation: "wait" })
        for (const view of [plain, full]) {
          const from = performance.now()
          const reading = yield* view(url, id)
          yield* reading.until(({ received }) => received.includes("Executing operation: wait"))
          assert.isBelow(performance.now() - from, 500)
        }
      }
    })
  )

  it.live("are written at least every second in both views", () =>
    Effect.gen(function* () {
      const { url } = yield* start()
      const id = yield* submitTo(url, { operation: "wait" })
      const readings = [yield* plain(url, id), yield* full(url, id)]
      for (const reading of readings) {
        yield* reading.until(({ arrivals }) => arrivals.length >= 4)
        const gaps = reading.arrivals.slice(1).map((at, i) => at - (reading.arrivals[i] ?? 0))
        // A second is the promise; the rest is for a machine that is busy with other tests.
        for (const gap of gaps) assert.isBelow(gap, 1300)
      }
      assert.match(
        readings[0]?.body ?? "",
        /^data: \[test-rtr {2}\] route_job {6}: [^\n]*\n\n(data: \[test-rtr {2}\] waiting {8}: Executing operation: wait \(\d s\)\n\n)+$/
      )
      assert.match(readings[1]?.body ?? "", /^id: 1\n[^]*\n\n(: waiting\n\n)+$/)
    })
  )

  const views = { plainView, fullView }
  for (const [name, view] of Object.entries(views)) {
    it.effect(
      `leave no second without a byte in ${name}, also after events that the view does not show`,
      () =>
        Effect.gen(function* () {
          const ticker = yield* Ticker
          const log = new MemoryLog(1_000_000)
          yield* log.append([JobEvent.token("a")])
          let lastAt = 0
          let longest = 0
          const note = Effect.fnUntraced(function* (bytes: Uint8Array) {
            if (bytes.length === 0) return
            const now = yield* Effect.clockWith((clock) => clock.currentTimeMillis)
            longest = Math.max(longest, now - lastAt)
            lastAt = now
          })
          const following = yield* Effect.forkChild(
            Stream.runForEach(view({ log, ticker }, 0, "job-1"), note)
          )
          for (let at = 10; at <= 10_000; at += 10) {
            yield* TestClock.adjust(10)
            if (at === 3_650) yield* log.append([JobEvent.result({ text: "a", finish_reason: "stop" })])
            if (at === 6_010 || at === 6_990) yield* log.append([JobEvent.token("b")])
          }
          yield* log.end(JobEvent.done({ queued_ms: 0, run_ms: 0 }))
          yield* Fiber.join(following)
          assert.isAtMost(longest, 1000)
        }).pipe(Effect.provide(Ticker.layer))
    )
  }

  it.effect("are not events, and are not in the log", () =>
    Effect.gen(function* () {
      const log = new MemoryLog(1_000_000)
      yield* log.append([JobEvent.token("a")])
      const counts = batches({ log, ticker: yield* Ticker }, 0, (events) => events)
      const following = yield* Effect.forkChild(Stream.runCollect(Stream.take(counts, 3)))
      yield* TestClock.adjust("3 seconds")
      assert.deepStrictEqual(
        (yield* Fiber.join(following)).map((events) => events.length),
        [1, 0, 0]
      )
      assert.strictEqual(log.lastId(), 1)
    }).pipe(Effect.provide(Ticker.layer))
  )
})

describe("stopping gracefully", () => {
  it.live("writes the end event to every open stream and closes in time", () =>
    Effect.gen(function* () {
      const { scope, value } = yield* inOwnScope(start({}, { limits: { jobsRunning: 1 } }))
      const { url } = value
      const running = yield* submitTo(url, { operation: "answer" })
      const queued = yield* submitTo(url, { operation: "wait" })
      const readings = [yield* plain(url, running), yield* full(url, running), yield* full(url, queued)]
      for (const reading of readings) {
        yield* reading.until(({ received }) => received.includes("Executing operation"))
      }
      const from = performance.now()
      yield* Scope.close(scope, Exit.void)
      assert.isBelow(performance.now() - from, 2000)
      for (const reading of readings) yield* reading.until(({ closed }) => closed)
      assert.isTrue(readings[0]?.body.endsWith("data: a\n\ndata: [CANCELLED]\n\n"))
      assert.isTrue(readings[1]?.body.endsWith(`id: 3\nevent: cancelled\ndata: {"confirmed":true}\n\n`))
      assert.isTrue(readings[2]?.body.endsWith(`id: 2\nevent: cancelled\ndata: {"confirmed":true}\n\n`))
    })
  )

  it.live("answers POST /v1/shutdown before it stops", () =>
    Effect.gen(function* () {
      const { url } = yield* start()
      const answer = yield* ask(url, { method: "POST", path: "/v1/shutdown" })
      assert.deepStrictEqual([answer.status, answer.text], [200, `{"status":"stopping"}`])
    })
  )
})
