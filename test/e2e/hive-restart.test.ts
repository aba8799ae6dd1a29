import { type ChildProcess, spawn } from "node:child_process"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Fiber, Stream } from "effect"
import { vi } from "vitest"
import { dataOf, newestRequest, openStream, textIn } from "../support/applications.ts"
import { ask } from "../support/daemon.ts"
import { temporaryHome } from "../support/hive.ts"
import { freePort } from "../support/ports.ts"
import { serveHiveProgram, slowWorkerProgram } from "../support/programs.ts"
import { QueenClient, withQueen } from "../support/queen.ts"
import { until } from "../support/until.ts"

// A hive and its worker are started several times, each as a process.
vi.setConfig({ testTimeout: 120_000 })

const infer = {
  operation: "infer",
  hive_id: "atlas",
  model: "rbee:tiny",
  prompt: "It was",
  max_tokens: 150,
  temperature: 0
}

/** A hive that can be killed without its workers, and started again with the same home and port. */
const hiveProcess = Effect.fnUntraced(function* (queenUrl: string) {
  const home = yield* temporaryHome
  const port = yield* freePort
  const args = [serveHiveProgram, home, "atlas", queenUrl, slowWorkerProgram, String(port)]
  let child: ChildProcess | undefined
  const exited = Effect.callback<void>((resume) => {
    if (child === undefined || child.exitCode !== null || child.signalCode !== null)
      return resume(Effect.void)
    child.once("exit", () => resume(Effect.void))
  })
  const start = Effect.sync(() => {
    child = spawn(process.execPath, args, { stdio: "ignore" })
  })
  const end = (signal: NodeJS.Signals) =>
    Effect.suspend(() => {
      child?.kill(signal)
      return exited
    })
  yield* Effect.acquireRelease(start, () => end("SIGTERM"))
  return { start, kill: end("SIGKILL"), url: `http://127.0.0.1:${port}` }
})

const tokensOf = (events: ReadonlyArray<{ readonly kind: string; readonly json: string }>) =>
  events
    .filter(({ kind }) => kind === "token")
    .map(({ json }): string => JSON.parse(json).text)
    .join("")

const hasHive = Effect.gen(function* () {
  const { run } = yield* QueenClient
  yield* until(
    run({ operation: "hive_list" }),
    (events) => JSON.stringify(events).includes("atlas"),
    "1 minute"
  )
})

describe("a hive that is killed while it answers, and started again", () => {
  it.live("continues its answers: each event once, and the text of an undisturbed run", () =>
    Effect.gen(function* () {
      const { follow, run, submit, url } = yield* QueenClient
      const hive = yield* hiveProcess(url)
      yield* hasHive
      const undisturbed = yield* run(infer)
      assert.strictEqual(undisturbed.at(-1)?.kind, "done")

      const job = yield* submit(infer)
      const following = yield* Effect.forkChild(Stream.runCollect(follow(job)))
      yield* Effect.option(Stream.runHead(Stream.filter(follow(job), ({ kind }) => kind === "token")))
      yield* hive.kill
      yield* hive.start
      const events = yield* Fiber.join(following)
      assert.strictEqual(events.at(-1)?.kind, "done", JSON.stringify(events.at(-1)))
      assert.deepStrictEqual(
        events.map(({ id }) => id),
        events.map((_, index) => index + 1)
      )
      assert.strictEqual(tokensOf(events), tokensOf(undisturbed))
      assert.include(JSON.stringify(events), "has kept the answer")

      // The hive's own log is complete too.
      const record = JSON.parse((yield* ask(url, { path: `/v1/jobs/${job}` })).text)
      const onHive = yield* ask(hive.url, { path: `/v1/jobs/${record.hive_job_id}/events` })
      assert.strictEqual(
        onHive.text.match(/event: token/g)?.length,
        events.filter(({ kind }) => kind === "token").length
      )
    }).pipe((test) => withQueen(test))
  )

  it.live("continues the streamed answers of applications", () =>
    Effect.gen(function* () {
      const { url } = yield* QueenClient
      const hive = yield* hiveProcess(url)
      yield* hasHive
      const body = { model: "rbee:tiny", prompt: "It was", max_tokens: 150, temperature: 0 }
      const first = yield* openStream(url, "/v1/completions", body)
      yield* first.until(({ closed }) => closed)
      const second = yield* openStream(url, "/v1/completions", body)
      yield* second.until((connection) => textIn(dataOf(connection)) !== "")
      const job = yield* newestRequest(url, 2)
      yield* hive.kill
      yield* hive.start
      yield* second.until(({ closed }) => closed)
      assert.strictEqual(dataOf(second).at(-1), "[DONE]")
      assert.strictEqual(textIn(dataOf(second)), textIn(dataOf(first)))
      assert.include((yield* ask(url, { path: `/v1/jobs/${job}/events` })).text, "has kept the answer")
    }).pipe((test) => withQueen(test))
  )

  it.live("runs an answer again that had not begun", () =>
    Effect.gen(function* () {
      const { follow, run, submit, url } = yield* QueenClient
      const hive = yield* hiveProcess(url)
      yield* hasHive
      const job = yield* submit(infer)
      const following = yield* Effect.forkChild(Stream.runCollect(follow(job)))
      yield* Stream.runDrain(
        Stream.takeUntil(follow(job), ({ json }) => json.includes('"action":"worker_spawn"'))
      )
      yield* hive.kill
      yield* hive.start
      const events = yield* Fiber.join(following)
      assert.strictEqual(events.at(-1)?.kind, "done", JSON.stringify(events.at(-1)))
      assert.deepStrictEqual(
        events.map(({ id }) => id),
        events.map((_, index) => index + 1)
      )
      assert.strictEqual(tokensOf(events), tokensOf(yield* run(infer)))
    }).pipe((test) => withQueen(test))
  )
})
