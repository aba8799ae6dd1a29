import * as path from "node:path"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as FileSystem from "effect/FileSystem"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Schedule from "effect/Schedule"
import * as Schema from "effect/Schema"
import type { PeerRefused } from "../job/client/clientErrors.ts"
import type { Peer } from "../job/client/Peer.ts"
import { Paths } from "../settings/Paths.ts"
import { Settings } from "../settings/Settings.ts"
import { DetachedProcess, type SpawnFailed, type Started } from "../system/DetachedProcess.ts"
import { PidFile } from "../system/PidFile.ts"
import { Pids } from "../system/Pids.ts"
import { daemonFlags, programFile } from "../system/Program.ts"
import { DaemonClient } from "./DaemonClient.ts"
import { probeDaemon } from "./probeDaemon.ts"
import { readStartLog } from "./startLog.ts"

/** The daemon was started but did not become healthy. */
export class DaemonNotStarted extends Schema.TaggedError<DaemonNotStarted>()("DaemonNotStarted", {
  daemon: Schema.String,
  reason: Schema.String,
  logFile: Schema.String,
  lastLines: Schema.Array(Schema.String)
}) {
  override get message() {
    const lines = this.lastLines.length === 0 ? "" : `; its last lines: ${this.lastLines.join(" | ")}`
    return `The ${this.daemon} did not start: ${this.reason}${lines} (log: ${this.logFile})`
  }
}

/** The daemon to start: its name, its address and its command-line arguments. */
export interface Launch {
  /** The name of the pid file: `queen`, or `hive-<id>`. */
  readonly name: string
  readonly peer: Peer
  readonly args: ReadonlyArray<string>
}

/** Starts daemons on this machine as detached processes, which outlive this process. */
export class DaemonLauncher extends Context.Service<
  DaemonLauncher,
  {
    /** Starts the daemon and returns its process id once it is healthy. A failed or interrupted start leaves no process behind. */
    readonly launch: (daemon: Launch) => Effect.Effect<number, DaemonNotStarted | SpawnFailed>
    /**
     * The name of the daemon at the address; none if no daemon responds within a second. Fails if the daemon rejects the
     * token of this process, or requires one.
     */
    readonly probeDaemon: (peer: Peer) => Effect.Effect<Option.Option<string>, PeerRefused>
    readonly logFile: (name: string) => string
  }
>()("rbee/daemon/DaemonLauncher") {
  static readonly layerNoDeps = Layer.effect(
    DaemonLauncher,
    Effect.suspend(() => make)
  )
}

/** The retries of the health check of a started daemon: nine, within about eight seconds. */
export const healthPolls = Schedule.exponential("60 millis", 1.7).pipe(Schedule.upTo({ times: 9 }))

/** A started process; `logFrom` is the size of its log before the start, in bytes. */
interface Spawned extends Started {
  readonly logFile: string
  readonly logFrom: number
}

const sizeOf = (file: string) =>
  FileSystem.FileSystem.use((fs) => fs.stat(file)).pipe(
    Effect.map(({ size }) => Number(size)),
    Effect.orElseSucceed(() => 0)
  )

/** Starts the process of a daemon, and stops it. */
const makeProcess = Effect.gen(function* () {
  const processes = yield* DetachedProcess
  const pids = yield* Pids
  const pidFile = yield* PidFile
  const { timeouts } = yield* Settings

  const start = Effect.fnUntraced(function* ({ args, name, peer }: Launch, logFile: string) {
    const logFrom = yield* sizeOf(logFile)
    const started = yield* processes.start({
      command: process.execPath,
      args: [...daemonFlags, programFile, ...args],
      inheritsSecrets: true,
      logFile
    })
    yield* Effect.ignore(pidFile.markStarting(name, started.pid, peer.url))
    const spawned: Spawned = { ...started, logFile, logFrom }
    return spawned
  })

  const stop = Effect.fnUntraced(function* ({ pid }: Spawned) {
    const startTime = yield* pids.startTime(pid)
    if (Option.isSome(startTime))
      yield* pids.terminate({ pid, startTime: startTime.value }, timeouts.shutdown)
  })

  return { start, stop }
})

/** Fails with the daemon's own error if its log has one, otherwise with the reason. */
const failStart = Effect.fnUntraced(function* (name: string, reason: string, { logFile, logFrom }: Spawned) {
  const { error, lastLines } = yield* readStartLog(logFile, logFrom)
  return yield* new DaemonNotStarted({
    daemon: name,
    reason: error ?? (lastLines.length === 0 ? `${reason}; it logged no error` : reason),
    logFile,
    lastLines
  })
})

/** Waits until a started daemon responds. */
const makeHealthWait = Effect.gen(function* () {
  const client = yield* DaemonClient
  const pidFile = yield* PidFile

  return ({ name, peer }: Launch, spawned: Spawned) => {
    const health = Effect.flatMap(probeDaemon(client, peer), Effect.fromOption)
    const healthy = health.pipe(
      Effect.retry(healthPolls),
      Effect.catch(() => failStart(name, `it did not respond at ${peer.url} before the timeout`, spawned))
    )
    // A concurrent start may have won: its daemon has the port, or will have it soon, and this process exited.
    const exitedEarly = Effect.gen(function* () {
      const { code, signal } = yield* spawned.exited
      const others = yield* pidFile.processes(name)
      yield* (others.length === 0 ? health : Effect.retry(health, healthPolls)).pipe(
        Effect.catch(() => failStart(name, `it exited with ${signal ?? `code ${code}`}`, spawned))
      )
    })
    return Effect.raceFirst(healthy, exitedEarly)
  }
})

const make = Effect.gen(function* () {
  const client = yield* DaemonClient
  const { state } = yield* Paths
  const fs = yield* FileSystem.FileSystem
  const { start, stop } = yield* makeProcess
  const waitUntilHealthy = yield* makeHealthWait

  const logFile = (name: string) => path.join(state, "logs", `${name}.log`)

  return DaemonLauncher.of({
    logFile,
    probeDaemon: (peer) => probeDaemon(client, peer),
    launch: Effect.fn("DaemonLauncher.launch")(
      (daemon: Launch) =>
        Effect.acquireUseRelease(
          start(daemon, logFile(daemon.name)),
          (spawned) => Effect.as(waitUntilHealthy(daemon, spawned), spawned.pid),
          (spawned, exit) => (Exit.isSuccess(exit) ? Effect.void : stop(spawned))
        ),
      Effect.provideService(FileSystem.FileSystem, fs)
    )
  })
})
