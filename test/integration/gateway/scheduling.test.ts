import { assert, describe, it } from "@effect/vitest"
import { Duration, Effect, Fiber } from "effect"
import { vi } from "vitest"
import { dataOf, newestRequest, openStream, post, textIn } from "../../support/applications.ts"
import { type Answer, ask } from "../../support/daemon.ts"
import { type Fleet, type FleetOptions, startFleet } from "../../support/fleet.ts"
import { resultOf } from "../../support/hive.ts"
import { until } from "../../support/until.ts"

// Workers are started here, which takes its time on a machine that does more.
vi.setConfig({ testTimeout: 120_000 })

const megabytes = 1_000_000
/** What a worker of the small model takes with one slot is between this and half of it. */
const roomForOne = 200 * megabytes

const chat = {
  path: "/v1/chat/completions",
  body: {
    model: "rbee:tiny",
    messages: [{ role: "user", content: "Tell me about the whale." }],
    temperature: 0,
    max_tokens: 20
  }
}
const long = { ...chat.body, max_tokens: 450 }

/** Slow workers with one slot each, and room for only one of them. */
const oneSlot = (options: Partial<FleetOptions> = {}) =>
  startFleet({
    hives: ["atlas"],
    slow: true,
    memoryBytes: roomForOne,
    hive: { engine: { parallel: 1 } },
    ...options
  })

const isRefusal = ({ headers, status, text }: Answer, expected: number, code: string) => {
  const { error } = JSON.parse(text)
  assert.deepStrictEqual([status, error.code], [expected, code], text)
  assert.isAtLeast(Number(headers["retry-after"]), 1)
  return error
}

const timed = (asking: Effect.Effect<Answer>) =>
  Effect.suspend(() => {
    const asked = performance.now()
    return Effect.map(asking, (answer) => ({ answer, took: performance.now() - asked }))
  })

/** None ended before its time, and not all of them later: what else the machine does can only add to it. */
const isDeadline = (times: ReadonlyArray<number>, least: number) => {
  const best = Math.min(...times)
  assert.isTrue(best >= least && best < least + 150, times.map(Math.round).join(" ms, "))
}

const isAtRest = Effect.fnUntraced(function* ({ scheduler }: Fleet) {
  assert.deepStrictEqual(yield* scheduler.load, { waiting: 0, requests: 0, tokens: 0, loading: 0 })
})

const jobStates = (url: string) =>
  Effect.map(ask(url, { path: "/v1/jobs" }), ({ text }) =>
    JSON.parse(text)
      .jobs.filter(({ operation }: { readonly operation: string }) => operation === "complete")
      .map(({ state }: { readonly state: string }) => state)
  )

const busyOf = (port: number | undefined) =>
  Effect.map(ask(`http://127.0.0.1:${port}`, { path: "/health" }), ({ text }) =>
    Number(JSON.parse(text).busy)
  )

/** Takes the only slot of a worker, and tells when the first tokens are there. */
const takeSlot = Effect.fnUntraced(function* (url: string, headers: Readonly<Record<string, string>> = {}) {
  const connection = yield* openStream(url, chat.path, long, headers)
  yield* connection.until((connection) => textIn(dataOf(connection)) !== "")
  return connection
})

describe("a client that disconnects", () => {
  for (const daemon of ["queen", "hive"] as const) {
    it.live(`mid-stream stops its worker at once: at the ${daemon}`, () =>
      Effect.gen(function* () {
        const fleet = yield* startFleet({ hives: ["atlas"], slow: true })
        const [worker] = yield* fleet.serve("rbee:tiny", ["atlas"])
        const url = daemon === "queen" ? fleet.queenUrl : (fleet.hiveUrls["atlas"] ?? "")
        const times: Array<number> = []
        for (let i = 0; i < 7; i++) {
          const connection = yield* takeSlot(url)
          assert.strictEqual(yield* busyOf(worker?.port), 1)
          const left = performance.now()
          connection.socket.destroy()
          while ((yield* busyOf(worker?.port)) > 0) yield* Effect.yieldNow
          times.push(performance.now() - left)
          yield* until(jobStates(url), (states) => states.every((state: string) => state === "cancelled"))
          yield* isAtRest(fleet)
        }
        const sorted = times.toSorted((one, other) => one - other)
        yield* Effect.logInfo("the worker had stopped", { afterMillis: sorted.map(Math.round) })
        // What else the machine does can only add to it.
        assert.isBelow(sorted[0] ?? Number.NaN, 100)
        assert.isBelow(sorted[6] ?? Number.NaN, 3000)
      })
    )
  }

  it.live("while waiting leaves the queue, and does not delay the requests behind it", () =>
    Effect.gen(function* () {
      const fleet = yield* oneSlot()
      const { queenUrl } = fleet
      yield* fleet.serve("rbee:tiny", ["atlas"])
      const running = yield* takeSlot(queenUrl)
      const waiting = yield* openStream(queenUrl, chat.path, long)
      yield* until(fleet.scheduler.load, (load) => load.waiting === 1)
      const behind = yield* Effect.forkChild(post(queenUrl, chat.path, chat.body))
      yield* until(fleet.scheduler.load, (load) => load.waiting === 2)
      waiting.socket.destroy()
      yield* until(fleet.scheduler.load, (load) => load.waiting === 1)
      running.socket.destroy()
      assert.strictEqual((yield* Fiber.join(behind)).status, 200)
      assert.deepStrictEqual(yield* jobStates(queenUrl), ["completed", "cancelled", "cancelled"])
      yield* isAtRest(fleet)
    })
  )
})

describe("the queue of a model", () => {
  it.live("is bounded, and rejects further requests with a time to retry", () =>
    Effect.gen(function* () {
      const fleet = yield* oneSlot({ queen: { scheduler: { queueLength: 2 } } })
      const { queenUrl } = fleet
      yield* fleet.serve("rbee:tiny", ["atlas"])
      const running = yield* takeSlot(queenUrl)
      const waiting = yield* Effect.forEach([1, 2], () =>
        Effect.forkChild(post(queenUrl, chat.path, chat.body))
      )
      yield* until(fleet.scheduler.load, (load) => load.waiting === 2)
      for (const stream of [true, false]) {
        const refused = yield* post(queenUrl, chat.path, { ...chat.body, stream })
        const { message, type } = isRefusal(refused, 429, "QueueFull")
        assert.strictEqual(type, "rate_limit_error")
        assert.include(message, "scheduler.queue_length")
      }
      running.socket.destroy()
      for (const one of waiting) assert.strictEqual((yield* Fiber.join(one)).status, 200)
      yield* isAtRest(fleet)
    })
  )

  it.live("fails a request exactly at its deadline", () =>
    Effect.gen(function* () {
      const fleet = yield* oneSlot()
      const { queenUrl } = fleet
      yield* fleet.serve("rbee:tiny", ["atlas"])
      yield* takeSlot(queenUrl)
      const times: Array<number> = []
      for (const stream of [true, false, true, false]) {
        const { took, answer } = yield* timed(
          post(queenUrl, chat.path, { ...chat.body, stream }, { "x-rbee-deadline-ms": "100" })
        )
        const { message } = isRefusal(answer, 503, "QueueTimeout")
        assert.include(message, "all its workers are busy")
        times.push(took)
      }
      isDeadline(times, 100)
      const { requests, waiting } = yield* fleet.scheduler.load
      assert.deepStrictEqual({ requests, waiting }, { requests: 1, waiting: 0 })
    })
  )

  it.live("is shared fairly by keys: many requests of one key do not delay another key", () =>
    Effect.gen(function* () {
      const fleet = yield* oneSlot({ keys: [{ name: "much" }, { name: "little" }] })
      const { queenUrl } = fleet
      yield* fleet.serve("rbee:tiny", ["atlas"])
      const bearer = (name: string) => ({ authorization: `Bearer ${fleet.keyOf(name)}` })
      const running = yield* takeSlot(queenUrl, bearer("much"))
      const order: Array<string> = []
      const asking = (name: string) =>
        Effect.forkChild(
          Effect.map(post(queenUrl, chat.path, chat.body, bearer(name)), ({ status }) => {
            assert.strictEqual(status, 200)
            order.push(name)
          })
        )
      const fibers = yield* Effect.forEach(["much", "much", "much", "much"], asking)
      yield* until(fleet.scheduler.load, ({ waiting }) => waiting === 4)
      fibers.push(...(yield* Effect.forEach(["little", "little"], asking)))
      yield* until(fleet.scheduler.load, ({ waiting }) => waiting === 6)
      running.socket.destroy()
      yield* Effect.forEach(fibers, Fiber.join)
      // They take turns, from the moment on at which the second one came.
      assert.isAtMost(order.indexOf("little"), 1)
      assert.isAtMost(order.lastIndexOf("little"), 3)
      yield* isAtRest(fleet)
    })
  )
})

describe("a model", () => {
  it.live("is not found if it is unknown, and not available if it fits nowhere", () =>
    Effect.gen(function* () {
      const { queenUrl } = yield* startFleet({ hives: ["atlas"], memoryBytes: 100 * megabytes })
      const unknown = yield* post(queenUrl, chat.path, { ...chat.body, model: "no-such", stream: true })
      assert.deepStrictEqual([unknown.status, JSON.parse(unknown.text).error.code], [404, "model_not_found"])
      for (const stream of [true, false]) {
        const refused = yield* post(queenUrl, chat.path, { ...chat.body, stream })
        const { message } = isRefusal(refused, 503, "NotPlaceable")
        assert.include(message, "it fits no device")
      }
    })
  )

  it.live("is loaded when it is requested, and evicts another model", () =>
    Effect.gen(function* () {
      const fleet = yield* startFleet({
        hives: ["atlas"],
        memoryBytes: roomForOne,
        models: ["alpha", "beta"],
        hive: { engine: { parallel: 1 } },
        queen: { scheduler: { minResidency: Duration.zero } }
      })
      const { client, queenUrl } = fleet
      const first = yield* post(queenUrl, chat.path, { ...chat.body, model: "alpha" })
      assert.strictEqual(first.status, 200)
      const numbersOf = ({ headers }: Answer) =>
        ["x-rbee-load-ms", "x-rbee-queue-ms"].map((name) => Number(headers[name]))
      const [load = 0, queue = 0] = numbersOf(first)
      assert.isTrue(load > 0 && queue >= load, `loaded in ${load} ms, waited ${queue} ms`)
      const [alpha] = yield* fleet.workers
      assert.deepStrictEqual(
        [first.headers["x-rbee-hive"], first.headers["x-rbee-worker"]],
        ["atlas", alpha?.id]
      )
      const again = yield* post(queenUrl, chat.path, { ...chat.body, model: "alpha" })
      assert.strictEqual(again.headers["x-rbee-worker"], alpha?.id)
      assert.strictEqual(numbersOf(again)[0], 0)

      const other = yield* post(queenUrl, chat.path, { ...chat.body, model: "beta" })
      assert.strictEqual(other.status, 200)
      assert.isAbove(numbersOf(other)[0] ?? 0, 0)
      const [beta, ...others] = yield* fleet.workers
      assert.deepStrictEqual([beta?.model, others], ["beta", []])

      const explain = (job: unknown) =>
        Effect.map(client.run({ operation: "explain", job_id: job }), (events) =>
          JSON.parse(resultOf(events))
        )
      assert.deepInclude(yield* explain(again.headers["x-rbee-job-id"]), {
        decision: "run",
        where: `atlas/${alpha?.id}`,
        attempts: 1
      })
      const explained = yield* explain(other.headers["x-rbee-job-id"])
      assert.deepInclude(explained, { decision: "load", where: "atlas/cpu-0", evict: `atlas/${alpha?.id}` })
      yield* isAtRest(fleet)
    })
  )

  it.live("that is loading for another request is awaited, and not loaded twice", () =>
    Effect.gen(function* () {
      const fleet = yield* oneSlot()
      const spawning = yield* Effect.forkChild(fleet.serve("rbee:tiny", ["atlas"]))
      yield* until(fleet.workers, (workers) => workers.length === 1)
      const answer = yield* post(fleet.queenUrl, chat.path, chat.body)
      assert.strictEqual(answer.status, 200, answer.text)
      const [worker] = yield* Fiber.join(spawning)
      assert.strictEqual(answer.headers["x-rbee-worker"], worker?.id)
      assert.lengthOf(yield* fleet.workers, 1)
    })
  )

  it.live("stays loaded for a minimum time", () =>
    Effect.gen(function* () {
      const fleet = yield* startFleet({
        hives: ["atlas"],
        memoryBytes: roomForOne,
        models: ["alpha", "beta"],
        hive: { engine: { parallel: 1 } },
        queen: { scheduler: { minResidency: Duration.seconds(3) } }
      })
      const { queenUrl } = fleet
      const first = yield* post(queenUrl, chat.path, { ...chat.body, model: "alpha" })
      const refused = yield* post(
        queenUrl,
        chat.path,
        { ...chat.body, model: "beta" },
        { "x-rbee-deadline-ms": "500" }
      )
      isRefusal(refused, 503, "QueueTimeout")
      const second = yield* post(queenUrl, chat.path, { ...chat.body, model: "beta" })
      assert.deepStrictEqual([first.status, second.status], [200, 200])
      yield* isAtRest(fleet)
    })
  )
})

describe("a hive's own endpoints", () => {
  it.live("fail a request at its deadline, and at timeouts.queue", () =>
    Effect.gen(function* () {
      const fleet = yield* oneSlot({
        hive: { engine: { parallel: 1 }, timeouts: { queue: Duration.millis(250) } }
      })
      const url = fleet.hiveUrls["atlas"] ?? ""
      yield* fleet.serve("rbee:tiny", ["atlas"])
      for (const [least, headers] of [
        [100, { "x-rbee-deadline-ms": "100" }],
        [250, {}]
      ] as const) {
        const running = yield* takeSlot(url)
        const times: Array<number> = []
        for (const stream of [true, false, true]) {
          const { answer, took } = yield* timed(post(url, chat.path, { ...chat.body, stream }, headers))
          isRefusal(answer, 503, "QueueTimeout")
          times.push(took)
        }
        isDeadline(times, least)
        running.socket.destroy()
      }
    })
  )

  it.live("bound the waiting requests, and serve them in the order of arrival", () =>
    Effect.gen(function* () {
      const fleet = yield* oneSlot({ hive: { engine: { parallel: 1 }, scheduler: { queueLength: 3 } } })
      const url = fleet.hiveUrls["atlas"] ?? ""
      yield* fleet.serve("rbee:tiny", ["atlas"])
      const running = yield* takeSlot(url)
      const order: Array<number> = []
      const asking = (number: number) =>
        Effect.forkChild(
          Effect.map(post(url, chat.path, chat.body), ({ status }) => {
            assert.strictEqual(status, 200)
            order.push(number)
          })
        )
      const first = yield* asking(1)
      yield* newestRequest(url, 2)
      const leaving = yield* openStream(url, chat.path, long)
      yield* newestRequest(url, 3)
      const third = yield* asking(3)
      yield* newestRequest(url, 4)
      isRefusal(yield* post(url, chat.path, chat.body), 429, "QueueFull")
      leaving.socket.destroy()
      running.socket.destroy()
      yield* Effect.forEach([first, third], Fiber.join)
      assert.deepStrictEqual(order, [1, 3])
      yield* until(jobStates(url), (states) => states.every((state: string) => state !== "running"))
    })
  )

  it.live("load a requested model, also for requests after one that gave up", () =>
    Effect.gen(function* () {
      const fleet = yield* startFleet({ hives: ["atlas"], models: ["alpha"] })
      const url = fleet.hiveUrls["atlas"] ?? ""
      const body = { ...chat.body, model: "alpha" }
      const refused = yield* post(url, chat.path, body, { "x-rbee-deadline-ms": "100" })
      isRefusal(refused, 503, "QueueTimeout")
      const answer = yield* post(url, chat.path, body)
      assert.strictEqual(answer.status, 200)
      const [load, queue] = ["x-rbee-load-ms", "x-rbee-queue-ms"].map((name) => Number(answer.headers[name]))
      assert.isTrue(load !== undefined && queue !== undefined && load > 0 && queue >= load)
      const workers = yield* fleet.workers
      assert.deepStrictEqual(
        workers.map(({ id, model }) => [id, model]),
        [[answer.headers["x-rbee-worker"], "alpha"]]
      )
    })
  )
})
