import { spawn } from "node:child_process"
import { mkdirSync, readFileSync, statSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { NodeServices } from "@effect/platform-node"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Layer, Option } from "effect"
import { Paths } from "../../src/settings/Paths.ts"
import { DetachedProcess } from "../../src/system/DetachedProcess.ts"
import { PidFile } from "../../src/system/PidFile.ts"
import { Pids } from "../../src/system/Pids.ts"
import { WorkerProcessFiles } from "../../src/system/WorkerProcessFiles.ts"
import { temporaryFolder } from "../support/rbee.ts"
import { until } from "../support/until.ts"

const pids = Layer.provideMerge(Pids.layer, NodeServices.layer)

/** A real process in a group of its own. */
const shell = (script: string) =>
  Effect.acquireRelease(
    Effect.callback<number>((resume) => {
      const child = spawn("sh", ["-c", `${script}`], { detached: true, stdio: ["ignore", "pipe", "ignore"] })
      child.stdout.once("data", () => resume(Effect.succeed(child.pid ?? 0)))
    }),
    (pid) => Effect.ignore(Effect.try(() => process.kill(-pid, "SIGKILL")))
  )

const identify = Effect.fnUntraced(function* (pid: number) {
  const startTime = yield* Pids.use((pids) => pids.startTime(pid))
  return { pid, startTime: Option.getOrElse(startTime, () => "") }
})

describe("Pids", () => {
  it.live("tells a process from another with its number, and ends only that one", () =>
    Effect.gen(function* () {
      const { isAlive, terminate } = yield* Pids
      const one = yield* identify(yield* shell("echo up; sleep 60"))
      assert.isTrue(yield* isAlive(one))
      const other = { ...one, startTime: "1" }
      assert.isFalse(yield* isAlive(other))
      yield* terminate(other, "1 second")
      assert.isTrue(yield* isAlive(one))
      yield* terminate(one, "2 seconds")
      assert.isFalse(yield* isAlive(one))
      yield* terminate(one, "2 seconds")
    }).pipe(Effect.provide(pids))
  )

  it.live("kills what ignores TERM, and the children too", () =>
    Effect.gen(function* () {
      const { isAlive, terminate } = yield* Pids
      const folder = yield* temporaryFolder
      const script = `trap '' TERM; sleep 60 & echo $! > ${folder}/child; echo up; wait; sleep 60`
      const stubborn = yield* identify(yield* shell(script))
      const child = yield* identify(Number(readFileSync(join(folder, "child"), "utf8")))
      yield* terminate(stubborn, "100 millis")
      assert.isFalse(yield* isAlive(stubborn))
      yield* until(isAlive(child), (alive) => !alive, "2 seconds")
    }).pipe(Effect.provide(pids))
  )

  it.live("kills what a process that ended by itself left in its group", () =>
    Effect.gen(function* () {
      const folder = yield* temporaryFolder
      const processes = yield* DetachedProcess
      const pids = yield* Pids
      const { exited, pid } = yield* processes.start({
        command: "/bin/sh",
        args: ["-c", `sleep 60 & echo $! > '${join(folder, "child")}'; exit 3`],
        logFile: join(folder, "log")
      })
      const startTime = Option.getOrElse(yield* pids.startTime(pid), () => "")
      assert.strictEqual((yield* exited).code, 3)
      const child = Number(readFileSync(join(folder, "child"), "utf8"))
      assert.isTrue(Option.isSome(yield* pids.startTime(child)))
      yield* pids.terminate({ pid, startTime }, "1 second")
      yield* until(pids.startTime(child), Option.isNone, "5 seconds")
    }).pipe(Effect.provide(Layer.merge(pids, DetachedProcess.layer)))
  )
})

describe("RunFile", () => {
  const inHome = (home: string) =>
    Layer.provideMerge(PidFile.layer, Layer.provideMerge(pids, Paths.layerAt(home)))

  it.live("tells where a daemon runs, for its owner only, and is gone with it", () =>
    Effect.gen(function* () {
      const home = yield* temporaryFolder
      yield* Effect.gen(function* () {
        const files = yield* PidFile
        yield* Effect.scoped(
          Effect.gen(function* () {
            yield* files.write("queen", "http://127.0.0.1:8500")
            const running = yield* files.read("queen")
            assert.strictEqual(Option.getOrThrow(running).pid, process.pid)
            assert.strictEqual(statSync(join(home, "state", "run", "queen.json")).mode & 0o777, 0o600)
          })
        )
        assert.isTrue(Option.isNone(yield* files.read("queen")))
      }).pipe(Effect.provide(inHome(home)))
    })
  )

  it.live("passes over files that are broken or of the dead, and finds what is being started", () =>
    Effect.gen(function* () {
      const home = yield* temporaryFolder
      mkdirSync(join(home, "state", "run"), { recursive: true })
      writeFileSync(join(home, "state", "run", "hive-a.json"), "{")
      yield* Effect.gen(function* () {
        const files = yield* PidFile
        assert.isTrue(Option.isNone(yield* files.read("hive-a")))
        const pid = yield* shell("echo up; sleep 60")
        yield* files.markStarting("hive-a", pid, "http://127.0.0.1:8081")
        assert.deepStrictEqual(
          (yield* files.processes("hive-a")).map((running) => running.pid),
          [pid]
        )
        assert.deepStrictEqual(yield* files.names, ["hive-a"])
        yield* Pids.use((all) => Effect.flatMap(identify(pid), (one) => all.terminate(one, "1 second")))
        assert.deepStrictEqual(yield* files.processes("hive-a"), [])
      }).pipe(Effect.provide(inHome(home)))
    })
  )
})

describe("DetachedProcess", () => {
  it.live("writes what the process says to a file, and tells how it ended", () =>
    Effect.gen(function* () {
      const logFile = join(yield* temporaryFolder, "log")
      const { start } = yield* DetachedProcess
      const { exited } = yield* start({
        command: "sh",
        args: ["-c", "echo out; echo err >&2; exit 3"],
        logFile
      })
      assert.deepStrictEqual(yield* exited, { code: 3, signal: null })
      assert.strictEqual(readFileSync(logFile, "utf8"), "out\nerr\n")
      const missing = yield* Effect.flip(start({ command: "/no/such/program", args: [], logFile }))
      assert.include(missing.message, "Could not start /no/such/program")
    }).pipe(Effect.provide(DetachedProcess.layer))
  )
})

const holder = `
import { Effect } from "effect"
import { DetachedProcess } from ${JSON.stringify(new URL("../../src/system/DetachedProcess.ts", import.meta.url).pathname)}
const [logFile, begins] = process.argv.slice(1)
const held = await Effect.runPromise(
  DetachedProcess.use(({ hold }) => hold({ command: "sh", args: ["-c", "echo began; echo $$; exec sleep 60"], logFile }))
    .pipe(Effect.provide(DetachedProcess.layer))
)
console.log(held.pid)
if (begins === "begins") await Effect.runPromise(held.begin)
setInterval(() => {}, 1000)
`

describe("a process that is held", () => {
  const run = Effect.fnUntraced(function* (begins: string) {
    const folder = yield* temporaryFolder
    const logFile = join(folder, "log")
    const pid = yield* Effect.callback<readonly [number, () => void]>((resume) => {
      const child = spawn(process.execPath, ["--input-type=module", "-e", holder, logFile, begins], {
        cwd: import.meta.dirname,
        stdio: ["ignore", "pipe", "inherit"]
      })
      child.stdout.once("data", (data) =>
        resume(Effect.succeed([Number(data), () => child.kill("SIGKILL")] as const))
      )
    })
    const log = Effect.sync(() => readFileSync(logFile, "utf8"))
    return { pid: pid[0], kill: Effect.sync(pid[1]), log }
  })
  const gone = (pid: number) =>
    until(
      Pids.use(({ startTime }) => startTime(pid)),
      Option.isNone,
      "5 seconds"
    )

  it.live("never begins when its parent is killed first", () =>
    Effect.gen(function* () {
      const { kill, log, pid } = yield* run("waits")
      assert.isTrue(Option.isSome(yield* Pids.use(({ startTime }) => startTime(pid))))
      yield* kill
      yield* gone(pid)
      assert.strictEqual(yield* log, "")
    }).pipe(Effect.provide(pids))
  )

  it.live("becomes its program when it may begin, and outlives its parent then", () =>
    Effect.gen(function* () {
      const { kill, log, pid } = yield* run("begins")
      const text = yield* until(log, (text) => text.split("\n").length > 2, "5 seconds")
      assert.strictEqual(text, `began\n${pid}\n`)
      yield* kill
      const program = yield* identify(pid)
      yield* Pids.use(({ terminate }) => terminate(program, "1 second"))
      yield* gone(pid)
    }).pipe(Effect.provide(pids))
  )

  it.live("is refused like any other when its program is missing or may not be run", () =>
    Effect.gen(function* () {
      const folder = yield* temporaryFolder
      const logFile = join(folder, "log")
      const { hold, start } = yield* DetachedProcess
      writeFileSync(join(folder, "text"), "", { mode: 0o600 })
      for (const command of ["/no/such/program", "rbee-no-such-program", join(folder, "text")]) {
        const [held, started] = yield* Effect.all([
          Effect.flip(hold({ command, args: [], logFile })),
          Effect.flip(start({ command, args: [], logFile }))
        ])
        assert.strictEqual(held.message, started.message)
      }
    }).pipe(Effect.provide(DetachedProcess.layer))
  )
})

describe("WorkerProcessFiles", () => {
  it.live("lists the recorded workers of every hive, and passes over what is none", () =>
    Effect.gen(function* () {
      const home = yield* temporaryFolder
      for (const hive of ["a", "b"]) {
        const folder = join(home, "state", "hives", hive, "workers")
        mkdirSync(folder, { recursive: true })
        writeFileSync(join(folder, "one.json"), JSON.stringify({ process: { pid: 5, startTime: hive } }))
        writeFileSync(join(folder, "broken.json"), "{}")
        writeFileSync(join(folder, "one.log"), "")
      }
      const layer = WorkerProcessFiles.layer.pipe(Layer.provide([Paths.layerAt(home), NodeServices.layer]))
      const { all, ofB } = yield* WorkerProcessFiles.use((files) =>
        Effect.all({ all: files.list, ofB: files.ofHive("b") })
      ).pipe(Effect.provide(layer))
      assert.strictEqual(all.length, 2)
      assert.deepStrictEqual(ofB, [{ pid: 5, startTime: "b" }])
    })
  )
})
