import { assert, describe, it } from "@effect/vitest"
import { ByteSize, Clock, Deferred, Effect, Fiber, FileSystem, Layer, Option, PlatformError } from "effect"
import { TestClock } from "effect/testing"
import { DaemonClient } from "../../src/daemon/DaemonClient.ts"
import { DaemonLauncher } from "../../src/daemon/DaemonLauncher.ts"
import { hivePool } from "../../src/http/hivePool.ts"
import { PeerUnreachable } from "../../src/job/client/clientErrors.ts"
import { Paths } from "../../src/settings/Paths.ts"
import { Settings } from "../../src/settings/Settings.ts"
import { DetachedProcess } from "../../src/system/DetachedProcess.ts"
import { PidFile, type DaemonRecord } from "../../src/system/PidFile.ts"
import { Pids } from "../../src/system/Pids.ts"
import { FakeHive } from "../../src/testing/FakeHive.ts"

const infoOf = (size: number): FileSystem.File.Info => ({
  type: "File",
  mtime: Option.none(),
  atime: Option.none(),
  birthtime: Option.none(),
  dev: 0n,
  ino: Option.none(),
  mode: 0o600,
  nlink: Option.none(),
  uid: Option.none(),
  gid: Option.none(),
  rdev: Option.none(),
  size: ByteSize.bytes(size),
  blksize: Option.none(),
  blocks: Option.none()
})

const queen = { name: "queen", peer: { url: "http://127.0.0.1:8500" }, args: ["queen", "serve"] }

/**
 * A launcher whose daemon answers from the given look on, and when the looks came: milliseconds after the start. Others
 * may be starting the same daemon.
 */
const launcher = Effect.fnUntraced(function* (
  answersFrom: number,
  others: ReadonlyArray<DaemonRecord> = [],
  logBefore = 0,
  log = "one\ntwo\n"
) {
  const looks: Array<number> = []
  const terminated: Array<number> = []
  const exited = yield* Deferred.make<{ readonly code: number | null; readonly signal: string | null }>()
  const client = Layer.mock(DaemonClient)({
    buildInfo: (peer) =>
      Effect.gen(function* () {
        looks.push(yield* Clock.currentTimeMillis)
        return looks.length < answersFrom
          ? yield* new PeerUnreachable({ url: peer.url, reason: "refused" })
          : { name: "rbee-queen" }
      })
  })
  const machine = Layer.mergeAll(
    Layer.mock(DetachedProcess)({
      start: () => Effect.succeed({ pid: 77, exited: Deferred.await(exited) })
    }),
    Layer.mock(Pids)({
      startTime: () => Effect.succeed(Option.some("1")),
      terminate: ({ pid }) => Effect.sync(() => void terminated.push(pid))
    }),
    Layer.mock(PidFile)({ markStarting: () => Effect.void, processes: () => Effect.succeed(others) }),
    FileSystem.layerNoop({
      makeDirectory: () => Effect.void,
      readFileString: () => Effect.succeed(log),
      stat: () =>
        logBefore === 0
          ? Effect.fail(PlatformError.systemError({ _tag: "NotFound", module: "FileSystem", method: "stat" }))
          : Effect.succeed(infoOf(logBefore))
    })
  )
  const context = yield* Layer.build(
    DaemonLauncher.layerNoDeps.pipe(
      Layer.provide([client, machine, Settings.layerDefaults(), Paths.layerAt("/nowhere")])
    )
  )
  const launch = Effect.provide(
    DaemonLauncher.use((daemons) => daemons.launch(queen)),
    context
  )
  return { launch, looks, terminated, exited }
})

describe("a daemon of the original rbee", () => {
  it.live("is recognised by /health, where build info is missing", () =>
    Effect.gen(function* () {
      let health = { status: 200, body: "ok" }
      const daemon = yield* FakeHive.makeRaw((request, response) => {
        const { body, status } = request.url === "/health" ? health : { body: "", status: 404 }
        response.writeHead(status).end(body)
      })
      const context = yield* Layer.build(
        DaemonLauncher.layerNoDeps.pipe(
          Layer.provide([
            DaemonClient.layerNoDeps.pipe(Layer.provide(hivePool)),
            Layer.mock(DetachedProcess)({}),
            Layer.mock(Pids)({}),
            Layer.mock(PidFile)({}),
            FileSystem.layerNoop({}),
            Paths.layerAt("/nowhere")
          ]),
          Layer.provide(Settings.layerDefaults())
        )
      )
      const name = Effect.provide(
        DaemonLauncher.use(({ probeDaemon }) => probeDaemon({ url: daemon.url })),
        context
      )
      assert.deepStrictEqual(yield* name, Option.some("daemon"))
      health = { status: 200, body: "<html>another server</html>" }
      assert.deepStrictEqual(yield* name, Option.none())
      health = { status: 503, body: "ok" }
      assert.deepStrictEqual(yield* name, Option.none())
    }).pipe(Effect.scoped)
  )
})

describe("looking for a daemon that was started", () => {
  it.effect("begins at once, looks ten times at most with growing pauses, and says what was not there", () =>
    Effect.gen(function* () {
      const { launch, looks, terminated } = yield* launcher(Number.POSITIVE_INFINITY)
      const fiber = yield* Effect.forkChild(Effect.flip(launch))
      yield* TestClock.adjust("1 minute")
      const error = yield* Fiber.join(fiber)
      assert.strictEqual(looks[0], 0)
      assert.lengthOf(looks, 10)
      const pauses = looks.slice(1).map((at, index) => at - (looks[index] ?? 0))
      assert.deepStrictEqual(
        pauses,
        [...pauses].sort((left, right) => left - right)
      )
      assert.lengthOf(new Set(pauses), pauses.length)
      assert.isBelow(looks[9] ?? 0, 12_000)
      assert.strictEqual(
        error.message,
        "The queen did not start: it did not respond at http://127.0.0.1:8500 before the timeout; its last lines: one | two " +
          "(log: /nowhere/state/logs/queen.log)"
      )
      assert.deepStrictEqual(terminated, [77])
    })
  )

  it.effect("looks no more once it answered, and leaves the process alone", () =>
    Effect.gen(function* () {
      const { launch, looks, terminated } = yield* launcher(3)
      const fiber = yield* Effect.forkChild(launch)
      yield* TestClock.adjust("1 minute")
      assert.strictEqual(yield* Fiber.join(fiber), 77)
      yield* TestClock.adjust("1 minute")
      assert.lengthOf(looks, 3)
      assert.deepStrictEqual(terminated, [])
    })
  )

  it.effect("does not wait for one that has ended", () =>
    Effect.gen(function* () {
      const { exited, launch } = yield* launcher(Number.POSITIVE_INFINITY)
      yield* Deferred.succeed(exited, { code: 7, signal: null })
      const error = yield* Effect.flip(launch)
      assert.include(error.message, "it exited with code 7")
    })
  )

  it.effect("quotes only the lines of this start", () =>
    Effect.gen(function* () {
      const { exited, launch } = yield* launcher(Number.POSITIVE_INFINITY, [], 4)
      yield* Deferred.succeed(exited, { code: 7, signal: null })
      const error = yield* Effect.flip(launch)
      assert.include(error.message, "its last lines: two (log")
      assert.notInclude(error.message, "one")
    })
  )

  const info = "[04:53:24.019] INFO (#20): there is no hives.conf { file: '/x' }"
  const lasting = "[04:53:24.019] INFO (#20): loading a model {\n  model: 'm'\n}"
  const warning = "[04:53:25.019] WARN (#20): fleet.json cannot be read {\n  file: '/x'\n}"
  const logs = [
    ["its own error", `${info}\n❌ Error: Port 8500 is taken\n`, "Port 8500 is taken (log"],
    [
      "nothing but that all was well",
      `${info}\n${lasting}\n`,
      "it exited with code 7; it logged no error (log"
    ],
    ["nothing", "", "it exited with code 7; it logged no error (log"],
    [
      "a warning",
      `${lasting}\n${warning}\n`,
      "its last lines: [04:53:25.019] WARN (#20): fleet.json cannot be read { |   file: '/x' | } (log"
    ],
    ["a crash", `${info}\nError: bang\n    at x.js:1\n`, "its last lines: Error: bang |     at x.js:1 (log"]
  ] as const
  for (const [what, log, expected] of logs) {
    it.effect(`says why it did not start, where the daemon logged ${what}`, () =>
      Effect.gen(function* () {
        const { exited, launch } = yield* launcher(Number.POSITIVE_INFINITY, [], 0, log)
        yield* Deferred.succeed(exited, { code: 7, signal: null })
        const { message } = yield* Effect.flip(launch)
        assert.isTrue(message.startsWith("The queen did not start: "), message)
        assert.include(message, expected)
        assert.notInclude(message, "INFO")
      })
    )
  }

  it.effect("takes the daemon of another starter that was faster for its own", () =>
    Effect.gen(function* () {
      const { url } = queen.peer
      const other = { version: "0.1.0", pid: 78, startTime: "2", url, startedAt: "2026-01-01T00:00:00Z" }
      const { exited, launch, terminated } = yield* launcher(4, [other])
      yield* Deferred.succeed(exited, { code: 1, signal: null })
      const fiber = yield* Effect.forkChild(launch)
      yield* TestClock.adjust("1 minute")
      assert.strictEqual(yield* Fiber.join(fiber), 77)
      assert.deepStrictEqual(terminated, [])
    })
  )
})
