import { appendFileSync, existsSync, mkdirSync, readFileSync, statSync, writeFileSync } from "node:fs"
import { dirname } from "node:path"
import { NodeServices } from "@effect/platform-node"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Fiber, Layer, Queue, Stream } from "effect"
import { TestClock } from "effect/testing"
import { WorkerNotFound } from "../../../src/hive/workers/errors.ts"
import { WorkerLog } from "../../../src/hive/workers/WorkerLog.ts"
import { Workers } from "../../../src/hive/workers/Workers.ts"
import { WorkerStore } from "../../../src/hive/workers/WorkerStore.ts"
import { Paths } from "../../../src/settings/Paths.ts"
import { Settings } from "../../../src/settings/Settings.ts"
import { Pids } from "../../../src/system/Pids.ts"
import { temporaryHome } from "../../support/hive.ts"
import { until } from "../../support/until.ts"

const spec = {
  id: "w-1",
  model: "m",
  modelPath: "/models/m.gguf",
  worker: "cpu",
  engine: "llama",
  backend: "cpu",
  device: 0,
  contextSize: 512,
  parallel: 1,
  threads: 1,
  memoryBytes: 1
} as const
const record = { id: "w-1", model: "m", state: "ready", worker: "cpu", device: 0 } as const

/** The service over a worker that is there until it is told to go. */
const setUp = Effect.fnUntraced(function* (logBytes = 4_000_000) {
  const home = yield* temporaryHome
  let gone = false
  const workers = Layer.mock(Workers)({
    get: (id) =>
      gone || id !== "w-1"
        ? Effect.fail(new WorkerNotFound({ worker: id, known: [] }))
        : Effect.succeed(record),
    list: Effect.sync(() => (gone ? [] : [{ record, requests: 0, spec }]))
  })
  const layer = WorkerLog.layerNoDeps.pipe(
    Layer.provideMerge(WorkerStore.layerNoDeps),
    Layer.provide([workers, Pids.layer]),
    Layer.provide([
      Settings.layerDefaults({ hive: { id: "test" }, workers: { logBytes } }),
      Paths.layerAt(home)
    ]),
    Layer.provide(NodeServices.layer)
  )
  const services = yield* Layer.build(layer)
  const { logFile, olderLogFile } = yield* Effect.provide(WorkerStore, services)
  const { read } = yield* Effect.provide(WorkerLog, services)
  const file = logFile("w-1")
  mkdirSync(dirname(file), { recursive: true })
  const lines = (count: number) => Stream.runCollect(read("w-1", { follow: false, lines: count }))
  return { file, older: olderLogFile("w-1"), read, lines, end: () => void (gone = true) }
})

describe("WorkerLog", () => {
  it.live("gives the last lines of both files, wherever reads cut them", () =>
    Effect.gen(function* () {
      const { file, lines, older } = yield* setUp()
      assert.deepStrictEqual(yield* lines(5), [])
      writeFileSync(older, "one\ntwo\nthr")
      writeFileSync(file, "ee\r\nvier ü\nunfinished")
      assert.deepStrictEqual(yield* lines(100), ["one", "two", "three", "vier ü", "unfinished"])
      assert.deepStrictEqual(yield* lines(2), ["vier ü", "unfinished"])
      assert.deepStrictEqual(yield* lines(0), [])
      writeFileSync(file, `${"ü".repeat(100_000)}\nlast\n`)
      const long = yield* lines(100)
      assert.strictEqual(long.at(-1), "last")
      assert.isTrue(long.every((line) => line.length <= 8192))
      assert.strictEqual(long.join("").match(/ü/g)?.length, 100_000)
    })
  )

  it.live("follows appended lines, also after the file was truncated, until the worker is removed", () =>
    Effect.gen(function* () {
      const { end, file, read } = yield* setUp()
      writeFileSync(file, "old\n")
      const seen = yield* Queue.unbounded<string>()
      const fiber = yield* Effect.forkChild(
        Stream.runForEach(read("w-1", { follow: true, lines: 1 }), (line) => Queue.offer(seen, line))
      )
      assert.strictEqual(yield* Queue.take(seen), "old")
      appendFileSync(file, "new ")
      appendFileSync(file, "line\nand")
      assert.strictEqual(yield* Queue.take(seen), "new line")
      writeFileSync(file, "")
      appendFileSync(file, " more\n")
      assert.strictEqual(yield* Queue.take(seen), "and more")
      end()
      yield* Fiber.join(fiber)
    })
  )

  it.live("fails for an unknown worker", () =>
    Effect.gen(function* () {
      const { read } = yield* setUp()
      const error = yield* Effect.flip(Stream.runCollect(read("w-2", { follow: true, lines: 1 })))
      assert.strictEqual(error._tag, "WorkerNotFound")
    })
  )

  it.effect("keeps two files of bounded size while the process continues to append", () =>
    Effect.gen(function* () {
      const { file, lines, older } = yield* setUp(1000)
      writeFileSync(file, "x".repeat(1500) + "\nkept\n")
      yield* TestClock.adjust("2 seconds")
      const size = Effect.sync(() => statSync(file).size)
      yield* TestClock.withLive(until(size, (size) => size === 0))
      assert.isTrue(existsSync(older))
      appendFileSync(file, "after\n")
      assert.deepStrictEqual(yield* lines(2), ["kept", "after"])
      assert.strictEqual(readFileSync(file, "utf8"), "after\n")
    })
  )
})
