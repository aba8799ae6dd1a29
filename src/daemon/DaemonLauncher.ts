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
    /** The name of the daemon at the address; none if no daemon responds within a second. */
    readonly probeDaemon: (peer: Peer) => Effect.Effect<Option.Option<string>>
    /** Like `probeDaemon`, but fails if the daemon refuses this process with 401 or 403, for example for a wrong token. */
    readonly probe: (peer: Peer) => Effect.Effect<Option.Option<string>, PeerRefused>
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
const probeTimeout = "1 second"
const linesShown = 10

/** The statuses with which a daemon refuses the credentials of this process. */
const refusals: ReadonlySet<number> = new Set([401, 403])

// The prefix of error lines in the daemon's log.
const errorMark = "❌ Error: "
const harmless = /^\[[\d:.]+\] (?:INFO|DEBUG|TRACE) /
const continuation = /^(?: {2}|\})/

/** Removes log records below the level of a warning. A record may have several lines. */
const withoutHarmless = (lines: ReadonlyArray<string>) => {
  let isHarmless = false
  return lines.filter((line) => {
    isHarmless = harmless.test(line) || (isHarmless && continuation.test(line))
    return !isHarmless
  })
}

/** A started process; `logFrom` is the size of its log before the start, in bytes. */
interface Spawned extends Started {
  readonly logFrom: number
}

const make = Effect.gen(function* () {
  const client = yield* DaemonClient
  const processes = yield* DetachedProcess
  const pids = yield* Pids
  const pidFile = yield* PidFile
  const paths = yield* Paths
  const { timeouts } = yield* Settings
  const fs = yield* FileSystem.FileSystem

  const logFile = (name: string) => path.join(paths.state, "logs", `${name}.log`)

  const probe = (peer: Peer): Effect.Effect<Option.Option<string>, PeerRefused> =>
    client.buildInfo(peer).pipe(
      // Daemons of older versions have no build info.
      Effect.catchTag("PeerRefused", (refusal) =>
        refusal.status === 404 ? Effect.as(client.health(peer), { name: "daemon" }) : Effect.fail(refusal)
      ),
      Effect.timeout(probeTimeout),
      Effect.map(({ name }) => Option.some(name)),
      Effect.catch((error) =>
        error._tag === "PeerRefused" && refusals.has(error.status) ? Effect.fail(error) : Effect.succeedNone
      )
    )

  const probeDaemon = (peer: Peer) => Effect.orElseSucceed(probe(peer), () => Option.none<string>())

  /** The last lines after `from` bytes; the bytes before belong to earlier starts. */
  const lastLines = (file: string, from: number) =>
    fs.readFileString(file).pipe(
      Effect.map((text) => Buffer.from(text).subarray(from).toString()),
      Effect.map((text) =>
        withoutHarmless(text.split("\n").filter((line) => line !== "")).slice(-linesShown)
      ),
      Effect.orElseSucceed((): ReadonlyArray<string> => [])
    )

  const sizeOf = (file: string) =>
    fs.stat(file).pipe(
      Effect.map(({ size }) => Number(size)),
      Effect.orElseSucceed(() => 0)
    )

  const failed = Effect.fnUntraced(function* (name: string, reason: string, logFrom: number) {
    const file = logFile(name)
    const lines = yield* lastLines(file, logFrom)
    const errorLine = lines.findLast((line) => line.startsWith(errorMark))
    return yield* new DaemonNotStarted({
      daemon: name,
      reason:
        errorLine?.slice(errorMark.length) ?? (lines.length === 0 ? `${reason}; it logged no error` : reason),
      logFile: file,
      lastLines: errorLine === undefined ? lines : []
    })
  })

  const waitUntilHealthy = ({ name, peer }: Launch, { exited, logFrom }: Spawned) => {
    const health = Effect.flatMap(probeDaemon(peer), Effect.fromOption)
    const healthy = health.pipe(
      Effect.retry(healthPolls),
      Effect.catch(() => failed(name, `it did not respond at ${peer.url} before the timeout`, logFrom))
    )
    // A concurrent start may have won: its daemon has the port, or will have it soon, and this process exited.
    const exitedEarly = Effect.gen(function* () {
      const { code, signal } = yield* exited
      const others = yield* pidFile.processes(name)
      yield* (others.length === 0 ? health : Effect.retry(health, healthPolls)).pipe(
        Effect.catch(() => failed(name, `it exited with ${signal ?? `code ${code}`}`, logFrom))
      )
    })
    return Effect.raceFirst(healthy, exitedEarly)
  }

  const spawn = Effect.fnUntraced(function* ({ args, name, peer }: Launch) {
    const file = logFile(name)
    const logFrom = yield* sizeOf(file)
    const started = yield* processes.start({
      command: process.execPath,
      args: [...daemonFlags, programFile, ...args],
      inheritsSecrets: true,
      logFile: file
    })
    yield* Effect.ignore(pidFile.markStarting(name, started.pid, peer.url))
    return { ...started, logFrom }
  })

  const end = Effect.fnUntraced(function* (pid: number) {
    const startTime = yield* pids.startTime(pid)
    if (Option.isSome(startTime))
      yield* pids.terminate({ pid, startTime: startTime.value }, timeouts.shutdown)
  })

  return DaemonLauncher.of({
    logFile,
    probeDaemon,
    probe,
    launch: Effect.fn("DaemonLauncher.launch")((daemon: Launch) =>
      Effect.acquireUseRelease(
        spawn(daemon),
        (started) => Effect.as(waitUntilHealthy(daemon, started), started.pid),
        ({ pid }, exit) => (Exit.isSuccess(exit) ? Effect.void : end(pid))
      )
    )
  })
})
