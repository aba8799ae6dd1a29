import * as path from "node:path"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as FileSystem from "effect/FileSystem"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Schedule from "effect/Schedule"
import * as Schema from "effect/Schema"
import * as Semaphore from "effect/Semaphore"
import { DetachedProcess, type SpawnFailed, type Started } from "../config/DetachedProcess.ts"
import { Paths } from "../config/Paths.ts"
import { Pids } from "../config/Pids.ts"
import { programFile } from "../config/Program.ts"
import { RunFile } from "../config/RunFile.ts"
import { Settings } from "../config/Settings.ts"
import { WorkerProcessFiles } from "../config/WorkerProcessFiles.ts"
import { JobsClient, type Peer } from "../job/JobsClient.ts"
import type { Say } from "../job/narrated.ts"
import { NotSupported } from "../operation/errors.ts"
import type { HiveNotFound } from "./errors.ts"
import { HiveRegistry } from "./HiveRegistry.ts"

/** The daemon was started and did not become well. */
export class HiveStartFailed extends Schema.TaggedError<HiveStartFailed>()("HiveStartFailed", {
  hive: Schema.String,
  reason: Schema.String,
  logFile: Schema.String,
  lastLines: Schema.Array(Schema.String)
}) {
  override get message() {
    const lines =
      this.lastLines.length === 0 ? "it wrote nothing" : `its last lines: ${this.lastLines.join(" | ")}`
    return `Hive '${this.hive}' did not start: ${this.reason}; ${lines} (log: ${this.logFile})`
  }
}

/** What starting or stopping came to. */
export type HiveChange = {
  readonly alias: string
  readonly state: "running" | "stopped"
  readonly url: string
  readonly pid?: number
}

/** Starts and stops the daemons of hives. What runs already, or does not run, is a success. */
export class HiveLifecycle extends Context.Service<
  HiveLifecycle,
  {
    readonly start: (
      alias: string,
      say: Say
    ) => Effect.Effect<HiveChange, HiveNotFound | HiveStartFailed | NotSupported | SpawnFailed>
    readonly stop: (alias: string, say: Say) => Effect.Effect<HiveChange, HiveNotFound | NotSupported>
    /** Whether the hive's daemon answers. */
    readonly isWell: (hive: Peer) => Effect.Effect<boolean>
  }
>()("rbee/queen/HiveLifecycle") {
  static readonly layerNoDeps = Layer.effect(
    HiveLifecycle,
    Effect.suspend(() => make)
  ).pipe(Layer.provide(WorkerProcessFiles.layer))
}

// The first look at once, ten in all, about eight seconds.
const polls = Schedule.max([
  Schedule.exponential("100 millis", 1.4).pipe(Schedule.upTo({ times: 9 })),
  Schedule.recurs(9)
])
const pollWithin = "1 second"
const linesShown = 10

const make = Effect.gen(function* () {
  const registry = yield* HiveRegistry
  const client = yield* JobsClient
  const processes = yield* DetachedProcess
  const pids = yield* Pids
  const runFiles = yield* RunFile
  const paths = yield* Paths
  const workerFiles = yield* WorkerProcessFiles
  const settings = yield* Settings
  const fs = yield* FileSystem.FileSystem
  const oneAtATime = yield* Semaphore.make(1)

  const isWell = (hive: Peer) =>
    client
      .get(hive, "/v1/build-info", Schema.Struct({ name: Schema.String }))
      .pipe(Effect.timeout(pollWithin), Effect.isSuccess)

  const onlyLocal = (alias: string, operation: string, instead: string) =>
    alias === "localhost" ? Effect.void : Effect.fail(new NotSupported({ operation, instead }))

  const lastLines = (file: string) =>
    fs.readFileString(file).pipe(
      Effect.map((text) =>
        text
          .trimEnd()
          .split("\n")
          .slice(-linesShown)
          .filter((line) => line !== "")
      ),
      Effect.orElseSucceed((): ReadonlyArray<string> => [])
    )

  const launch = Effect.fnUntraced(function* (alias: string, hive: Peer) {
    const logFile = path.join(paths.state, "logs", `hive-${alias}.log`)
    yield* Effect.ignore(fs.makeDirectory(path.dirname(logFile), { recursive: true, mode: 0o700 }))
    const { hostname, port } = new URL(hive.url)
    const spawn = processes
      .start({
        command: process.execPath,
        args: [
          programFile,
          "hive",
          "serve",
          "--hive-id",
          alias,
          "--host",
          hostname,
          "--port",
          port,
          "--queen-url",
          `http://${settings.queen.host}:${settings.queen.port}`
        ],
        logFile
      })
      .pipe(Effect.tap(({ pid }) => Effect.ignore(runFiles.starting(`hive-${alias}`, pid, hive.url))))
    const { pid } = yield* Effect.acquireUseRelease(
      spawn,
      (started) => Effect.as(untilWell(alias, hive, started, logFile), started),
      (started, exit) => (Exit.isSuccess(exit) ? Effect.void : end(started.pid))
    )
    return pid
  })

  // A start that failed or was left must not go on behind everybody's back.
  const end = (pid: number) =>
    Effect.flatMap(pids.startTime(pid), (startTime) =>
      Option.isSome(startTime)
        ? pids.terminate({ pid, startTime: startTime.value }, settings.timeouts.shutdown)
        : Effect.void
    )

  const untilWell = (alias: string, hive: Peer, started: Started, logFile: string) => {
    const failed = (reason: string) =>
      Effect.flatMap(lastLines(logFile), (lines) =>
        Effect.fail(new HiveStartFailed({ hive: alias, reason, logFile, lastLines: lines }))
      )
    const well = isWell(hive).pipe(
      Effect.flatMap((ok) => (ok ? Effect.void : Effect.fail("not yet" as const))),
      Effect.retry(polls),
      Effect.catch(() => failed(`it did not answer at ${hive.url} in time`))
    )
    const died = Effect.flatMap(started.exited, ({ code, signal }) =>
      failed(`it ended with ${signal ?? `code ${code}`}`)
    )
    return Effect.raceFirst(well, died)
  }

  const start = Effect.fn("HiveLifecycle.start")(function* (alias: string, say: Say) {
    const { peer } = yield* registry.find(alias)
    if (yield* isWell(peer)) return { alias, state: "running", url: peer.url } as const
    yield* onlyLocal(alias, "hive_start", `start 'rbee hive serve --hive-id ${alias}' on that machine`)
    yield* say("hive_start", `Starting hive '${alias}' at ${peer.url}`)
    const pid = yield* launch(alias, peer)
    yield* say("hive_start", `Hive '${alias}' runs, process ${pid}`)
    return { alias, state: "running", url: peer.url, pid } as const
  })

  const stop = Effect.fn("HiveLifecycle.stop")(function* (alias: string, say: Say) {
    const { peer } = yield* registry.find(alias)
    yield* onlyLocal(alias, "hive_stop", `run 'rbee stop' on that machine`)
    const running = yield* runFiles.processes(`hive-${alias}`)
    const orphans = yield* workerFiles.ofHive(alias)
    if (running.length === 0 && orphans.length === 0 && !(yield* isWell(peer))) {
      yield* say("hive_stop", `Hive '${alias}' does not run`)
      return { alias, state: "stopped", url: peer.url } as const
    }
    yield* say("hive_stop", `Stopping hive '${alias}' and its workers`)
    yield* client.post(peer, "/v1/shutdown").pipe(Effect.timeout(pollWithin), Effect.ignore)
    // The workers of a hive that was killed outlive it.
    for (const daemon of [...running, ...orphans]) yield* pids.terminate(daemon, settings.timeouts.shutdown)
    yield* say("hive_stop", `Hive '${alias}' has stopped`)
    return { alias, state: "stopped", url: peer.url } as const
  })

  return HiveLifecycle.of({
    start: (alias, say) => oneAtATime.withPermit(start(alias, say)),
    stop: (alias, say) => oneAtATime.withPermit(stop(alias, say)),
    isWell
  })
})
