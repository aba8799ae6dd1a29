import * as Context from "effect/Context"
import * as Data from "effect/Data"
import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Schedule from "effect/Schedule"
import { Settings } from "../../settings/Settings.ts"
import { DetachedProcess } from "../../system/DetachedProcess.ts"
import { Pids, type ProcessId } from "../../system/Pids.ts"
import type { Engine } from "../engines/Engine.ts"
import { Engines, portInUse } from "../engines/Engines.ts"
import type { WorkerSpec } from "../engines/WorkerSpec.ts"
import { WorkerFailed } from "./errors.ts"
import { FreePorts } from "./FreePorts.ts"
import { lastLines } from "./LogTail.ts"
import { exitSentence, isKilled, type ProcessExit } from "./ProcessExit.ts"
import { untilReady } from "./untilReady.ts"
import { WorkerClient } from "./WorkerClient.ts"
import type { StoredWorker, WorkerProcess } from "./WorkerRecord.ts"
import { WorkerStore } from "./WorkerStore.ts"

/** Callbacks for the life of a process. */
export interface ProcessEvents {
  /** The process was started and does not answer yet. The engine is absent when it is not in the settings any more. */
  readonly started: (process: WorkerProcess, engine: Engine | undefined) => Effect.Effect<void>
  /** How much of the model is loaded, in percent. */
  readonly loading: (percent: number) => Effect.Effect<void>
  /** The process answers and serves the model. */
  readonly ready: (process: WorkerProcess) => Effect.Effect<void>
}

/** Runs the processes of workers. No process outlives the effect that runs it. */
export class WorkerProcesses extends Context.Service<
  WorkerProcesses,
  {
    /**
     * Starts a process. Fails when it does not become ready; otherwise returns when it has ended, with the reason.
     * Interrupting ends the process.
     */
    readonly run: (spec: WorkerSpec, events: ProcessEvents) => Effect.Effect<WorkerFailed, WorkerFailed>
    /** The same for a process that an earlier hive started. */
    readonly adopt: (stored: StoredWorker, events: ProcessEvents) => Effect.Effect<WorkerFailed, WorkerFailed>
    /** Whether the process answers its engine's health check, within a second. */
    readonly isHealthy: (worker: StoredWorker) => Effect.Effect<boolean>
  }
>()("rbee/hive/workers/WorkerProcesses") {
  static readonly layerNoDeps = Layer.effect(
    WorkerProcesses,
    Effect.suspend(() => make)
  )
}

interface LiveProcess {
  readonly process: WorkerProcess
  /** Lets the program begin, once the process is recorded. */
  readonly begin: Effect.Effect<void>
  readonly exited: Effect.Effect<ProcessExit>
}

class PortTaken extends Data.TaggedError("PortTaken")<{ readonly failure: WorkerFailed }> {}

const startAttempts = 5
const pollInterval = "1 second"

/** Waits for the end of a process that is not a child of this hive. The system does not report how it ended. */
const exitOf = (pids: Pids["Service"], process: ProcessId): Effect.Effect<ProcessExit> =>
  Effect.repeat(pids.isAlive(process), {
    while: (alive) => alive,
    schedule: Schedule.spaced(pollInterval)
  }).pipe(Effect.as({ code: null, signal: null }))

const lastLinesOf = (fs: FileSystem.FileSystem, file: string) =>
  Effect.provideService(lastLines(file), FileSystem.FileSystem, fs)

const failureOf = (
  { id, model }: WorkerSpec,
  reason: string,
  killed: boolean,
  log: Effect.Effect<ReadonlyArray<string>>
) => Effect.map(log, (lines) => new WorkerFailed({ worker: id, model, reason, lastLines: lines, killed }))

/** Fails when the process ends; another port is tried where its port was taken. */
const exitedEarly = Effect.fnUntraced(function* (
  exited: Effect.Effect<ProcessExit>,
  failure: (reason: string, killed: boolean) => Effect.Effect<WorkerFailed>
) {
  const exit = yield* exited
  const error = yield* failure(`${exitSentence(exit)} before it was ready`, isKilled(exit))
  return yield* exit.code === portInUse ? new PortTaken({ failure: error }) : error
})

const make = Effect.gen(function* () {
  const fs = yield* FileSystem.FileSystem
  const detached = yield* DetachedProcess
  const pids = yield* Pids
  const engines = yield* Engines
  const ports = yield* FreePorts
  const client = yield* WorkerClient
  const store = yield* WorkerStore
  const { timeouts } = yield* Settings

  const engineOf = (spec: WorkerSpec) => Effect.map(engines.all, (all) => all.get(spec.engine))

  const logOf = (spec: WorkerSpec) => lastLinesOf(fs, store.logFile(spec.id))
  const failure = (spec: WorkerSpec, reason: string, killed = false) =>
    failureOf(spec, reason, killed, logOf(spec))
  const fail = (spec: WorkerSpec, reason: string) => Effect.flip(failure(spec, reason))

  const launch = Effect.fnUntraced(function* (spec: WorkerSpec) {
    const engine = yield* engineOf(spec)
    if (engine === undefined) return yield* fail(spec, `the engine '${spec.engine}' is not in the settings`)
    const port = yield* Effect.catch(ports.next, ({ message }) => fail(spec, message))
    const { begin, exited, pid } = yield* Effect.catch(
      detached.hold({ ...engine.command(spec, port), logFile: store.logFile(spec.id) }),
      ({ message }) => fail(spec, message)
    )
    const startTime = Option.getOrElse(yield* pids.startTime(pid), () => "")
    const live: LiveProcess = { process: { pid, startTime, port }, begin, exited }
    return live
  })

  const use = Effect.fnUntraced(function* (
    spec: WorkerSpec,
    { begin, exited, process }: LiveProcess,
    events: ProcessEvents
  ) {
    // The program waits for `begin` and ends without it, so a hive that is killed leaves no process without a record.
    yield* store.save({ spec, process })
    yield* begin
    const engine = yield* engineOf(spec)
    yield* events.started(process, engine)
    const { loading } = events
    const worker = { port: process.port, model: spec.model, engine, log: logOf(spec), loading }
    const problem = yield* Effect.raceFirst(
      untilReady(client, worker, timeouts.workerStart),
      exitedEarly(exited, (reason, killed) => failure(spec, reason, killed))
    )
    if (problem !== undefined) return yield* fail(spec, problem)
    yield* events.ready(process)
    return yield* failure(spec, exitSentence(yield* exited))
  })

  const live = (spec: WorkerSpec, acquire: Effect.Effect<LiveProcess, WorkerFailed>, events: ProcessEvents) =>
    Effect.acquireUseRelease(
      acquire,
      (process) =>
        Effect.catchTag(use(spec, process, events), "StateNotWritable", ({ message }) => fail(spec, message)),
      // A process that has ended by itself may have left children.
      ({ process }) => pids.terminate(process, timeouts.shutdown)
    )

  return WorkerProcesses.of({
    run: (spec, events) =>
      live(spec, launch(spec), events).pipe(
        Effect.retry({ times: startAttempts - 1, while: ({ _tag }) => _tag === "PortTaken" }),
        Effect.catchTag("PortTaken", ({ failure }) => Effect.fail(failure))
      ),
    adopt: ({ process, spec }, events) =>
      live(
        spec,
        Effect.as(ports.reserve(process.port), {
          process,
          begin: Effect.void,
          exited: exitOf(pids, process)
        }),
        events
      ).pipe(Effect.catchTag("PortTaken", ({ failure }) => Effect.fail(failure))),
    isHealthy: ({ process, spec }) =>
      Effect.flatMap(engineOf(spec), (engine) => client.isReady(process.port, engine?.readyPath))
  })
})
