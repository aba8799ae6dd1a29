import { type ChildProcess, spawn } from "node:child_process"
import { copyFileSync, mkdirSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { Context, Effect, Layer } from "effect"
import { ask, parseEvents, submitTo } from "../daemon.ts"
import { signal } from "../fleet.ts"
import { tiny } from "../llamaWorker.ts"
import { freePort } from "../ports.ts"
import { serveHiveProgram, slowWorkerProgram } from "../programs.ts"
import { temporaryFolder } from "../rbee.ts"
import { program } from "../rbeeDaemon.ts"
import { type TcpProxy, tcpProxy } from "../tcpProxy.ts"
import { until } from "../until.ts"

/** A process that a test kills, stops and starts again. */
export interface Killable {
  readonly url: string
  readonly start: Effect.Effect<void>
  readonly kill: Effect.Effect<void>
  readonly signal: (name: NodeJS.Signals) => Effect.Effect<void>
}

const isUp = (url: string) =>
  until(
    Effect.promise(() =>
      fetch(`${url}/health`).then(
        ({ ok }) => ok,
        () => false
      )
    ),
    (isOk) => isOk
  ).pipe(Effect.orDie)

const killable = Effect.fnUntraced(function* (
  port: number,
  args: ReadonlyArray<string>,
  env: Readonly<Record<string, string>> = {}
) {
  const url = `http://127.0.0.1:${port}`
  let child: ChildProcess | undefined
  const end = (name: NodeJS.Signals) =>
    Effect.callback<void>((resume) => {
      if (child === undefined || child.exitCode !== null || child.signalCode !== null)
        return resume(Effect.void)
      child.once("exit", () => resume(Effect.void))
      child.kill(name)
      child.kill("SIGCONT")
    })
  const start = Effect.andThen(
    Effect.sync(() => {
      child = spawn(process.execPath, args, {
        env: { ...process.env, RBEE_QUEEN_URL: "", RBEE_TOKEN: "", ...env },
        stdio: "ignore"
      })
    }),
    isUp(url)
  )
  yield* Effect.acquireRelease(start, () => end("SIGTERM"))
  const killed: Killable = {
    url,
    start,
    kill: end("SIGKILL"),
    signal: (name) => Effect.sync(() => void child?.kill(name))
  }
  return killed
})

export const model = "matrix"

/** Short, so that a cell takes seconds; longer than what a busy machine needs for an answer to a health check. */
const queenSettings = {
  RBEE_TIMEOUTS_SILENCE: "2s",
  RBEE_LIMITS_GRACE_AFTER_LAST_FOLLOWER: "500ms"
}

const resultOf = (events: string) =>
  JSON.parse(parseEvents(events).findLast(({ kind }) => kind === "result")?.json ?? "{}")

const addModel = (home: string) =>
  Effect.sync(() => {
    const folder = join(home, "data", "models")
    mkdirSync(folder, { recursive: true })
    copyFileSync(tiny, join(folder, `${model}.gguf`))
  })

const addHive = (home: string, url: string) =>
  Effect.sync(() => {
    mkdirSync(join(home, "config"))
    writeFileSync(
      join(home, "config", "hives.conf"),
      `Host atlas\n  HostName 127.0.0.1\n  User x\n  HivePort ${new URL(url).port}\n`
    )
  })

interface Worker {
  readonly pid?: number
  readonly port?: number
  readonly state: string
}

/** A queen, a hive with a worker, and a proxy before each of the two daemons; all of them can be made to fail. */
export class MatrixFleet extends Context.Service<
  MatrixFleet,
  {
    readonly queen: Killable
    readonly hive: Killable
    readonly hiveHome: string
    /** Where clients connect to the queen. */
    readonly clientProxy: TcpProxy
    /** Where the queen connects to the hive. */
    readonly hiveProxy: TcpProxy
    readonly workers: Effect.Effect<ReadonlyArray<Worker>>
    /** Sends signals to the worker that answers now. */
    readonly busyWorker: Effect.Effect<Killable["signal"]>
  }
>()("rbee/test/support/matrix/MatrixFleet") {
  static readonly layer = Layer.effect(
    this,
    Effect.gen(function* () {
      const queenHome = yield* temporaryFolder
      const hiveHome = yield* temporaryFolder
      yield* addModel(hiveHome)
      const queenPort = yield* freePort
      const hivePort = yield* freePort
      const clientProxy = yield* tcpProxy(`http://127.0.0.1:${queenPort}`)
      const hiveProxy = yield* tcpProxy(`http://127.0.0.1:${hivePort}`)
      yield* addHive(queenHome, hiveProxy.url)
      const queen = yield* killable(queenPort, [program, "queen", "serve", "--port", String(queenPort)], {
        RBEE_HOME: queenHome,
        ...queenSettings
      })
      const hive = yield* killable(hivePort, [
        serveHiveProgram,
        hiveHome,
        "atlas",
        queen.url,
        slowWorkerProgram,
        String(hivePort)
      ])
      const workers = Effect.gen(function* () {
        const job = yield* submitTo(hive.url, { operation: "worker_list", hive_id: "atlas" })
        const { text } = yield* ask(hive.url, { path: `/v1/jobs/${job}/events` })
        const listed: ReadonlyArray<Worker> = resultOf(text).workers
        return listed
      })
      const spawned = yield* submitTo(hive.url, {
        operation: "worker_spawn",
        hive_id: "atlas",
        model,
        worker: "cpu",
        device: 0
      })
      yield* ask(hive.url, { path: `/v1/jobs/${spawned}/events` })
      return MatrixFleet.of({
        queen,
        hive,
        hiveHome,
        clientProxy,
        hiveProxy,
        workers,
        busyWorker: Effect.map(workers, (listed) => {
          const pid = listed.find(({ state }) => state === "busy")?.pid
          return (name) => Effect.sync(() => signal(pid, name))
        })
      })
    })
  )
}
