import { appendFileSync, globSync } from "node:fs"
import { assert, describe, it } from "@effect/vitest"
import { Context, Duration, Effect, Fiber, Layer, Stream } from "effect"
import { boundUrl } from "../../../src/daemon/DaemonAddress.ts"
import type { JobEvent } from "../../../src/job/log/JobEvent.ts"
import type { SettingChanges } from "../../../src/settings/Settings.ts"
import { bigModel, bigModelHub } from "../../support/bigModel.ts"
import { ask } from "../../support/daemon.ts"
import {
  Client,
  hiveLayer,
  inferTiny,
  resultOf,
  spawnTiny,
  temporaryHome,
  workerOf
} from "../../support/hive.ts"
import { slowWorkerProgram } from "../../support/programs.ts"
import { QueenClient, queenLayer } from "../../support/queen.ts"
import { type TcpProxy, tcpProxy } from "../../support/tcpProxy.ts"
import { until } from "../../support/until.ts"

// A queen and a hive with slow workers, and between them a proxy that a test breaks.

const startPair = Effect.fnUntraced(function* (queen: SettingChanges = {}, hive: SettingChanges = {}) {
  const hiveHome = yield* temporaryHome
  const hiveContext = yield* Layer.build(
    Client.layer.pipe(
      Layer.provideMerge(hiveLayer({ home: hiveHome, worker: slowWorkerProgram, settings: hive })),
      Layer.orDie
    )
  )
  const hiveUrl = yield* Effect.provideContext(boundUrl, hiveContext)
  const proxy = yield* tcpProxy(hiveUrl)
  const queenContext = yield* Layer.build(
    QueenClient.layer.pipe(
      Layer.provideMerge(
        queenLayer({ home: yield* temporaryHome, hives: { test: proxy.url }, settings: queen })
      ),
      Layer.orDie
    )
  )
  return {
    proxy,
    hiveUrl,
    hiveHome,
    hive: Context.get(hiveContext, Client),
    queen: Context.get(queenContext, QueenClient)
  }
})

const infer = { ...inferTiny, max_tokens: 200 }

const textOf = (events: ReadonlyArray<JobEvent>) => {
  const { text } = JSON.parse(resultOf(events))
  const tokens = events
    .filter(({ kind }) => kind === "token")
    .map(({ json }) => JSON.parse(json).text)
    .join("")
  assert.strictEqual(tokens, text)
  return String(text)
}

const assertContiguous = (events: ReadonlyArray<JobEvent>) =>
  assert.deepStrictEqual(
    events.map(({ id }) => id),
    events.map((_, i) => i + 1)
  )

const hiveJobs = (hiveUrl: string, operation: string) =>
  Effect.map(ask(hiveUrl, { path: "/v1/jobs" }), ({ text }) => {
    const { jobs } = JSON.parse(text)
    return jobs
      .filter((job: { readonly operation: string }) => job.operation === operation)
      .map(({ state }: { readonly state: string }) => state)
  })

/** Runs an operation and does something when so many tokens have come, for each of the numbers. */
const runWith = Effect.fnUntraced(function* (
  queen: QueenClient["Service"],
  operation: object,
  at: ReadonlyArray<number>,
  act: Effect.Effect<void>
) {
  let tokens = 0
  const id = yield* queen.submit(operation)
  return yield* queen.follow(id).pipe(
    Stream.tap(({ kind }) => (kind === "token" && at.includes(++tokens) ? act : Effect.void)),
    Stream.runCollect
  )
})

const quickSilence = { timeouts: { silence: Duration.millis(1500) } }

describe("an answer of a hive", () => {
  it.live("is complete although its connection is reset again and again", () =>
    Effect.gen(function* () {
      const { hive, hiveUrl, proxy, queen } = yield* startPair()
      const expected = textOf(yield* hive.events(infer))
      const events = yield* runWith(queen, infer, [3, 4, 60, 150], proxy.cut)
      assert.strictEqual(textOf(events), expected)
      assertContiguous(events)
      assert.strictEqual(events.at(-1)?.kind, "done")
      assert.deepStrictEqual(yield* hiveJobs(hiveUrl, "infer"), ["completed", "completed"])
    })
  )

  it.live("is complete although its connection stops passing data, which the queen notices in time", () =>
    Effect.gen(function* () {
      const { hive, hiveUrl, proxy, queen } = yield* startPair(quickSilence)
      const expected = textOf(yield* hive.events(infer))
      let frozenAt = 0
      const freeze = Effect.andThen(
        proxy.freeze,
        Effect.sync(() => {
          frozenAt = performance.now()
        })
      )
      const events = yield* runWith(queen, infer, [20], freeze)
      assert.isBelow(performance.now() - frozenAt, 6_000)
      assert.strictEqual(textOf(events), expected)
      assertContiguous(events)
      assert.deepStrictEqual(yield* hiveJobs(hiveUrl, "infer"), ["completed", "completed"])
    })
  )

  it.live("is complete although the hive is unreachable for a while and its data is late", () =>
    Effect.gen(function* () {
      const { hive, hiveUrl, proxy, queen } = yield* startPair()
      const expected = textOf(yield* hive.events(infer))
      yield* proxy.delay(30)
      const away = Effect.andThen(
        proxy.close,
        Effect.forkChild(
          until(hiveJobs(hiveUrl, "infer"), (states) => states[0] === "completed").pipe(
            Effect.andThen(proxy.reopen),
            Effect.orDie
          )
        )
      )
      const events = yield* runWith(queen, infer, [10], Effect.asVoid(away))
      assert.strictEqual(textOf(events), expected)
      assertContiguous(events)
    })
  )

  it.live("fails if the hive is unreachable for timeouts.reconnect and no other can continue it", () =>
    Effect.gen(function* () {
      const { proxy, queen } = yield* startPair({ timeouts: { reconnect: Duration.millis(700) } })
      const from = performance.now()
      const events = yield* runWith(queen, infer, [10], proxy.close)
      assert.isBelow(performance.now() - from, 15_000)
      assert.strictEqual(
        events.at(-1)?.json,
        `{"error":{"code":"ConnectionFailed","message":"Failed to connect to hive: connection refused (hive 'test')"}}`
      )
    })
  )

  it.live("is cancelled at once when a client cancels it", () =>
    Effect.gen(function* () {
      const { hiveUrl, queen } = yield* startPair()
      const id = yield* queen.submit(infer)
      yield* Stream.runDrain(Stream.takeUntil(queen.follow(id), ({ kind }) => kind === "token"))
      assert.strictEqual((yield* queen.ask("DELETE", `/v1/jobs/${id}`)).status, 200)
      assert.deepStrictEqual(yield* hiveJobs(hiveUrl, "infer"), ["cancelled"])
    })
  )
})

describe("an application's chat", () => {
  const body = (stream: boolean) =>
    JSON.stringify({
      model: "rbee:tiny",
      messages: [{ role: "user", content: "Tell of the sea" }],
      max_tokens: 150,
      temperature: 0,
      stream
    })
  const chat = (url: string, stream: boolean) =>
    Effect.map(
      ask(url, { method: "POST", path: "/v1/chat/completions", body: body(stream) }),
      ({ status, text }) => {
        assert.strictEqual(status, 200, text)
        if (!stream) return String(JSON.parse(text).choices[0].message.content)
        const chunks = text
          .split("\n\n")
          .filter((frame) => frame.startsWith("data: {"))
          .map((frame) => JSON.parse(frame.slice("data: ".length)))
        assert.isTrue(text.endsWith("data: [DONE]\n\n"))
        return chunks.map(({ choices }) => choices[0]?.delta?.content ?? "").join("")
      }
    )

  /** Cuts each time that some more connections were opened and bytes passed. */
  const cutting = (proxy: TcpProxy, hiveUrl: string) =>
    until(hiveJobs(hiveUrl, "complete"), (states) => states.includes("running")).pipe(
      Effect.andThen(
        Effect.forEach([1, 2, 3], () => Effect.andThen(proxy.cut, proxy.cut.pipe(Effect.delay("150 millis"))))
      ),
      Effect.orDie
    )

  for (const stream of [true, false]) {
    it.live(`is the same with reset connections, ${stream ? "streamed" : "at once"}`, () =>
      Effect.gen(function* () {
        const { hiveUrl, proxy, queen } = yield* startPair()
        yield* queen.run(spawnTiny)
        const expected = yield* chat(queen.url, stream)
        const cutter = yield* Effect.forkChild(cutting(proxy, hiveUrl))
        assert.strictEqual(yield* chat(queen.url, stream), expected)
        yield* Fiber.join(cutter)
        assert.deepStrictEqual(yield* hiveJobs(hiveUrl, "complete"), ["completed", "completed"])
      })
    )
  }
})

describe("work that continues without a client", () => {
  it.live("continues at the hive if the connection breaks for good: a download", () =>
    Effect.gen(function* () {
      let allowed = 1_000_000
      const hub = yield* bigModelHub(bigModel(3_000_000), () => allowed)
      const { hiveUrl, proxy, queen } = yield* startPair(
        { timeouts: { reconnect: Duration.millis(500) } },
        { models: { hfEndpoint: hub.url } }
      )
      const id = yield* queen.submit({ operation: "model_download", hive_id: "test", model: "acme/big" })
      yield* until(Effect.sync(hub.sent), (sent) => sent >= 1_000_000)
      yield* proxy.cut
      yield* until(Effect.sync(proxy.open), (open) => open > 0)
      assert.deepStrictEqual(yield* hiveJobs(hiveUrl, "model_download"), ["running"])
      yield* proxy.close
      const events = yield* Stream.runCollect(queen.follow(id))
      assert.strictEqual(events.at(-1)?.kind, "failed")
      assert.deepStrictEqual(yield* hiveJobs(hiveUrl, "model_download"), ["running"])
      allowed = Number.MAX_SAFE_INTEGER
      yield* until(hiveJobs(hiveUrl, "model_download"), ([state]) => state === "completed")
    })
  )

  /** A worker whose log is followed, and what has come of it. */
  const followLog = Effect.fnUntraced(function* ({
    home,
    queen
  }: {
    home: string
    queen: QueenClient["Service"]
  }) {
    const { id } = workerOf(yield* queen.run(spawnTiny))
    const [file] = globSync(`${home}/state/**/${id}.log`)
    const log = (line: string) => Effect.sync(() => appendFileSync(file ?? "", `${line}\n`))
    const job = yield* queen.submit({
      operation: "worker_logs",
      hive_id: "test",
      id,
      follow: true,
      lines: 10
    })
    const events: Array<JobEvent> = []
    const following = yield* queen.follow(job).pipe(
      Stream.runForEach((event) => Effect.sync(() => void events.push(event))),
      Effect.forkChild
    )
    const lines = () =>
      events.filter(({ kind }) => kind === "line").map(({ json }) => String(JSON.parse(json).text))
    const logged = (line: string) =>
      Effect.andThen(
        log(line),
        until(Effect.sync(lines), (all) => all.includes(line))
      )
    return { id, log, logged, lines, events, end: Fiber.join(following) }
  })

  it.live("continues to be read: a worker's log", () =>
    Effect.gen(function* () {
      const { hiveHome, proxy, queen } = yield* startPair()
      const { end, events, id, lines, log, logged } = yield* followLog({ home: hiveHome, queen })
      yield* logged("line 0")
      for (const i of [1, 3, 5]) {
        yield* proxy.cut
        yield* log(`line ${i}`)
        yield* logged(`line ${i + 1}`)
      }
      yield* queen.run({ operation: "worker_delete", hive_id: "test", id })
      yield* end
      assertContiguous(events)
      assert.strictEqual(events.at(-1)?.kind, "done", events.at(-1)?.json)
      assert.deepStrictEqual(
        lines().filter((line) => line.startsWith("line ")),
        [0, 1, 2, 3, 4, 5, 6].map((i) => `line ${i}`)
      )
    })
  )
})
