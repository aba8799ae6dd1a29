import * as Context from "effect/Context"
import * as Data from "effect/Data"
import * as Duration from "effect/Duration"
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
import { WorkerClient } from "./WorkerClient.ts"
import type { StoredWorker, WorkerProcess } from "./WorkerRecord.ts"
import { WorkerStore } from "./WorkerStore.ts"

/** What is told of a process while it lives. */
export interface ProcessEvents {
  /** It was started, by an engine that may not be in the settings any more; it does not answer yet. */
  readonly started: (process: WorkerProcess, engine: Engine | undefined) => Effect.Effect<void>
  /** It tells how far its model is loaded, in percent. */
  readonly loading: (percent: number) => Effect.Effect<void>
  /** It answers and serves the model. */
  readonly ready: (process: WorkerProcess) => Effect.Effect<void>
}

/** Runs the processes of workers. No process outlives the effect that runs it. */
export class WorkerProcesses extends Context.Service<
  WorkerProcesses,
  {
    /**
     * Starts a process and returns when it has ended after it was ready, with how it ended. Fails when it does not
     * become ready. Interrupting ends the process.
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

interface Ending {
  readonly code: number | null
  readonly signal: string | null
}

interface Live {
  readonly process: WorkerProcess
  /** Lets it do its work, once it is recorded. */
  readonly begin: Effect.Effect<void>
  readonly exited: Effect.Effect<Ending>
}

class PortTaken extends Data.TaggedError("PortTaken")<{ readonly failure: WorkerFailed }> {}

const startAttempts = 5
const pollInterval = "1 second"

const readyPolls = Schedule.min([Schedule.exponential("20 millis", 1.3), Schedule.spaced("500 millis")])

const sentence = ({ code, signal }: Ending) => {
  if (signal !== null) return `its process was ended by ${signal}`
  return code === null ? "its process ended" : `its process ended with code ${code}`
}

/** Signals by which a process is ended from outside; a crash of its own has others. */
const outsideSignals: ReadonlySet<string> = new Set(["SIGHUP", "SIGINT", "SIGKILL", "SIGQUIT", "SIGTERM"])

/** What programs exit with that end in order when they get such a signal: nothing, or 128 and its number. */
const outsideCodes: ReadonlySet<number> = new Set([0, 129, 130, 131, 137, 143])

const isKilled = ({ code, signal }: Ending) =>
  (signal !== null && outsideSignals.has(signal)) || (code !== null && outsideCodes.has(code))

const make = Effect.gen(function* () {
  const fs = yield* FileSystem.FileSystem
  const processes = yield* DetachedProcess
  const pids = yield* Pids
  const engines = yield* Engines
  const ports = yield* FreePorts
  const client = yield* WorkerClient
  const store = yield* WorkerStore
  const { timeouts } = yield* Settings

  const failure = (spec: WorkerSpec, reason: string, killed = false) =>
    Effect.map(
      Effect.provideService(lastLines(store.logFile(spec.id)), FileSystem.FileSystem, fs),
      (lines) => new WorkerFailed({ worker: spec.id, model: spec.model, reason, lastLines: lines, killed })
    )

  const fail = (spec: WorkerSpec, reason: string) =>
    Effect.flatMap(failure(spec, reason), (error) => Effect.fail(error))

  const launch = Effect.fnUntraced(function* (spec: WorkerSpec) {
    const engine = (yield* engines.all).get(spec.engine)
    if (engine === undefined) return yield* fail(spec, `the engine '${spec.engine}' is not in the settings`)
    const port = yield* Effect.catch(ports.next, ({ message }) => fail(spec, message))
    const started = yield* Effect.catch(
      processes.hold({ ...engine.command(spec, port), logFile: store.logFile(spec.id) }),
      ({ message }) => fail(spec, message)
    )
    const startTime = Option.getOrElse(yield* pids.startTime(started.pid), () => "")
    const { begin, exited, pid } = started
    const live: Live = { process: { pid, startTime, port }, begin, exited }
    return live
  })

  const diedEarly = (spec: WorkerSpec, exited: Live["exited"]) =>
    Effect.gen(function* () {
      const ending = yield* exited
      const error = yield* failure(spec, `${sentence(ending)} before it was ready`, isKilled(ending))
      return yield* ending.code === portInUse ? new PortTaken({ failure: error }) : error
    })

  const engineOf = (spec: WorkerSpec) => Effect.map(engines.all, (all) => all.get(spec.engine))

  const reportLoading = Effect.fnUntraced(function* (
    spec: WorkerSpec,
    engine: Engine | undefined,
    events: ProcessEvents
  ) {
    if (engine?.loaded === undefined) return
    const lines = yield* Effect.provideService(lastLines(store.logFile(spec.id)), FileSystem.FileSystem, fs)
    const percent = lines.map(engine.loaded).findLast((found) => found !== undefined)
    if (percent !== undefined) yield* events.loading(percent)
  })

  const answers = Effect.fnUntraced(function* (
    spec: WorkerSpec,
    { port }: WorkerProcess,
    events: ProcessEvents
  ) {
    const engine = yield* engineOf(spec)
    const isReady = client.isReady(port, engine?.readyPath)
    yield* isReady.pipe(
      Effect.tap((ready) => (ready ? Effect.void : reportLoading(spec, engine, events))),
      Effect.repeat({ until: (ready) => ready, schedule: readyPolls }),
      Effect.andThen(client.models(port)),
      Effect.flatMap((models) =>
        models.includes(spec.model)
          ? Effect.void
          : fail(spec, `port ${port} serves ${models.join(", ") || "nothing"} instead`)
      ),
      Effect.timeoutOrElse({
        duration: timeouts.workerStart,
        orElse: () =>
          fail(
            spec,
            `it was not ready after ${Duration.toSeconds(timeouts.workerStart)} s (timeouts.worker_start)`
          )
      })
    )
  })

  const live = (spec: WorkerSpec, acquire: Effect.Effect<Live, WorkerFailed>, events: ProcessEvents) =>
    Effect.acquireUseRelease(
      acquire,
      ({ begin, exited, process }) =>
        Effect.gen(function* () {
          // A hive that is killed leaves no worker without a record: one ends itself that may not begin yet.
          yield* store.save({ spec, process })
          yield* begin
          yield* events.started(process, yield* engineOf(spec))
          yield* Effect.raceFirst(answers(spec, process, events), diedEarly(spec, exited))
          yield* events.ready(process)
          return yield* failure(spec, sentence(yield* exited))
        }).pipe(Effect.catchTag("StateNotWritable", ({ message }) => fail(spec, message))),
      // Also of a process that ended by itself something may be left: what it had started.
      ({ process }) => pids.terminate(process, timeouts.shutdown)
    )

  const run = (spec: WorkerSpec, events: ProcessEvents) =>
    live(spec, launch(spec), events).pipe(
      Effect.retry({ times: startAttempts - 1, while: ({ _tag }) => _tag === "PortTaken" }),
      Effect.catchTag("PortTaken", ({ failure }) => Effect.fail(failure))
    )

  const endOf = (process: ProcessId): Effect.Effect<Ending> =>
    Effect.repeat(pids.isAlive(process), {
      while: (alive) => alive,
      schedule: Schedule.spaced(pollInterval)
    }).pipe(Effect.as({ code: null, signal: null }))

  return WorkerProcesses.of({
    run,
    isHealthy: ({ process, spec }) =>
      Effect.flatMap(engineOf(spec), (engine) => client.isReady(process.port, engine?.readyPath)),
    adopt: ({ process, spec }, events) =>
      live(
        spec,
        Effect.as(ports.reserve(process.port), { process, begin: Effect.void, exited: endOf(process) }),
        events
      ).pipe(Effect.catchTag("PortTaken", ({ failure }) => Effect.fail(failure)))
  })
})
