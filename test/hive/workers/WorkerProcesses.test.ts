import { NodeServices } from "@effect/platform-node"
import { assert, describe, it } from "@effect/vitest"
import { Deferred, Effect, Fiber, FileSystem, Layer, Option, Queue } from "effect"
import { TestClock } from "effect/testing"
import { Engines } from "../../../src/hive/engines/Engines.ts"
import { FreePorts } from "../../../src/hive/workers/FreePorts.ts"
import { WorkerClient } from "../../../src/hive/workers/WorkerClient.ts"
import { WorkerProcesses } from "../../../src/hive/workers/WorkerProcesses.ts"
import type { WorkerProcess } from "../../../src/hive/workers/WorkerRecord.ts"
import { WorkerStore } from "../../../src/hive/workers/WorkerStore.ts"
import { Paths } from "../../../src/settings/Paths.ts"
import { Settings } from "../../../src/settings/Settings.ts"
import { DetachedProcess, SpawnFailed } from "../../../src/system/DetachedProcess.ts"
import { Pids } from "../../../src/system/Pids.ts"
import { temporaryHome } from "../../support/hive.ts"
import { workerSpec } from "../../support/hiveFakes.ts"

const spec = workerSpec("w-1")

interface Ending {
  readonly code: number | null
  readonly signal: string | null
}

interface Fake {
  /** What the process does: the models that it serves, or how it ends at once. */
  readonly starts: ReadonlyArray<{ readonly serves?: ReadonlyArray<string>; readonly ends?: Ending }>
  readonly cannotStart?: boolean
  /** How often it says that it is not ready. */
  readonly hesitates?: number
}

const setUp = Effect.fnUntraced(function* ({ cannotStart = false, hesitates = 0, starts }: Fake) {
  const home = yield* temporaryHome
  const logFile = yield* Deferred.make<string>()
  const ready = yield* Queue.unbounded<WorkerProcess>()
  const loading = yield* Queue.unbounded<number>()
  const terminated: Array<number> = []
  const ports: Array<number> = []
  const endings: Array<Deferred.Deferred<Ending>> = []
  const fs = yield* Effect.provide(FileSystem.FileSystem, NodeServices.layer)
  let count = 0
  let refusals = hesitates

  const processes = Layer.mock(DetachedProcess)({
    hold: ({ args, command, logFile: file }) =>
      Effect.gen(function* () {
        if (cannotStart) return yield* new SpawnFailed({ command, reason: "ENOENT" })
        yield* Deferred.succeed(logFile, file)
        yield* Effect.orDie(fs.writeFileString(file, "one\n\n40 percent\r\nthree\n"))
        ports.push(Number(args[0]))
        const ending = yield* Deferred.make<Ending>()
        const { ends } = starts[count] ?? {}
        if (ends !== undefined) yield* Deferred.succeed(ending, ends)
        endings.push(ending)
        return { pid: 100 + count++, exited: Deferred.await(ending), begin: Effect.void }
      })
  })
  const client = Layer.mock(WorkerClient)({
    isReady: () => Effect.sync(() => refusals-- <= 0 && starts[count - 1]?.serves !== undefined),
    models: () => Effect.sync(() => starts[count - 1]?.serves ?? [])
  })
  const pids = Layer.mock(Pids)({
    startTime: () => Effect.succeed(Option.some("7")),
    isAlive: () => Effect.succeed(false),
    terminate: ({ pid }) => Effect.sync(() => terminated.push(pid)).pipe(Effect.asVoid)
  })
  const engine = Engines.layerMemory([
    {
      name: "llama",
      backends: ["cpu"],
      cancellation: { _tag: "Disconnect" },
      install: "",
      readyPath: "/health",
      loaded: (line) => (line.endsWith(" percent") ? Number.parseInt(line) : undefined),
      command: (_, port) => ({ command: "w", args: [String(port)] })
    }
  ])
  const layer = WorkerProcesses.layerNoDeps.pipe(
    Layer.provide([processes, client, engine, FreePorts.layer]),
    Layer.provideMerge(WorkerStore.layerNoDeps),
    Layer.provide([pids, Settings.layerDefaults({ hive: { id: "test" } }), Paths.layerAt(home)]),
    Layer.provide(NodeServices.layer)
  )
  const context = yield* Layer.build(layer)
  const run = Effect.flatMap(WorkerProcesses, (all) =>
    all.run(spec, {
      started: () => Effect.void,
      loading: (percent) => Effect.asVoid(Queue.offer(loading, percent)),
      ready: (process) => Effect.asVoid(Queue.offer(ready, process))
    })
  ).pipe(Effect.provide(context))
  const stored = Effect.provide(
    Effect.flatMap(WorkerStore, ({ list }) => list),
    context
  )
  return {
    run,
    ready: Queue.take(ready),
    loading: Queue.take(loading),
    terminated,
    ports,
    endings,
    stored,
    logFile: Deferred.await(logFile)
  }
})

describe("WorkerProcesses", () => {
  it.live("records the process, and returns its exit with its last lines", () =>
    Effect.gen(function* () {
      const { endings, ready, run, stored, terminated } = yield* setUp({ starts: [{ serves: ["m"] }] })
      const fiber = yield* Effect.forkChild(run)
      const process = yield* ready
      assert.deepStrictEqual(yield* stored, [{ spec, process }])
      assert.deepInclude(process, { pid: 100, startTime: "7" })
      const [ending] = endings
      if (ending !== undefined) yield* Deferred.succeed(ending, { code: null, signal: "SIGSEGV" })
      const end = yield* Fiber.join(fiber)
      assert.strictEqual(
        end.message,
        "Worker 'w-1' with m failed: its process was ended by SIGSEGV; its last lines: one | 40 percent | three"
      )
      // What it may have left in its group is ended.
      assert.deepStrictEqual(terminated, [100])
    })
  )

  it.live("reports the loading progress from the process's log", () =>
    Effect.gen(function* () {
      const { loading, ready, run } = yield* setUp({ starts: [{ serves: ["m"] }], hesitates: 1 })
      const fiber = yield* Effect.forkChild(run)
      assert.strictEqual(yield* loading, 40)
      yield* ready
      yield* Fiber.interrupt(fiber)
    })
  )

  it.live("ends the process when it is interrupted", () =>
    Effect.gen(function* () {
      const { ready, run, terminated } = yield* setUp({ starts: [{ serves: ["m"] }] })
      const fiber = yield* Effect.forkChild(run)
      yield* ready
      yield* Fiber.interrupt(fiber)
      assert.deepStrictEqual(terminated, [100])
    })
  )

  it.live("tries another port when the first is taken, and no port twice", () =>
    Effect.gen(function* () {
      const taken = { ends: { code: 98, signal: null } }
      const { ports, ready, run } = yield* setUp({ starts: [taken, taken, { serves: ["m"] }] })
      const fiber = yield* Effect.forkChild(run)
      const { pid, port } = yield* ready
      assert.strictEqual(pid, 102)
      assert.strictEqual(ports.at(-1), port)
      assert.strictEqual(new Set(ports).size, 3)
      yield* Fiber.interrupt(fiber)
    })
  )

  it.live("gives up when every port is taken", () =>
    Effect.gen(function* () {
      const taken = { ends: { code: 98, signal: null } }
      const { ports, run } = yield* setUp({ starts: [taken, taken, taken, taken, taken, taken] })
      const error = yield* Effect.flip(run)
      assert.include(error.message, "ended with code 98 before it was ready")
      assert.lengthOf(ports, 5)
    })
  )

  it.live("refuses and ends a process that serves another model", () =>
    Effect.gen(function* () {
      const { run, terminated } = yield* setUp({ starts: [{ serves: ["other"] }] })
      const error = yield* Effect.flip(run)
      assert.match(error.reason, /port \d+ serves other instead/)
      assert.deepStrictEqual(terminated, [100])
    })
  )

  it.live("fails when the program cannot be started", () =>
    Effect.gen(function* () {
      const { run } = yield* setUp({ starts: [], cannotStart: true })
      assert.include((yield* Effect.flip(run)).message, "Could not start w: ENOENT")
    })
  )

  it.effect("ends a process that is not ready in time", () =>
    Effect.gen(function* () {
      const { logFile, run, terminated } = yield* setUp({ starts: [{}] })
      const fiber = yield* Effect.forkChild(Effect.flip(run))
      yield* logFile
      // The record is written to a real disk before the clock counts.
      const error = yield* TestClock.withLive(Effect.yieldNow).pipe(
        Effect.andThen(TestClock.adjust("10 seconds")),
        Effect.repeat({ until: () => fiber.pollUnsafe() !== undefined }),
        Effect.andThen(Fiber.join(fiber))
      )
      assert.include(error.message, "it was not ready after 120 s (timeouts.worker_start)")
      assert.deepStrictEqual(terminated, [100])
    })
  )
})
