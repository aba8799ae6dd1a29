import type * as Clock from "effect/Clock"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import type { Pids } from "../../system/Pids.ts"
import type { Cancellation, Engine } from "../engines/Engine.ts"
import {
  type QueueFull,
  WorkerFailed,
  type WorkerNotFound,
  WorkerNotReady,
  type WrongDevice,
  type WrongModel
} from "./errors.ts"
import type { ProcessRun, WorkerEntry } from "./WorkerEntry.ts"
import type { PlanError } from "./WorkerPlanner.ts"
import type { WorkerProcesses } from "./WorkerProcesses.ts"

/** A worker that is ready, and counts as busy while the lease's scope is open. */
export interface Lease {
  readonly id: string
  readonly model: string
  readonly port: number
  /** Tokens that one request may have, prompt and answer together. */
  readonly contextSize?: number
  /** Why the worker's process ended; waits at most 1.5 s for its end. */
  readonly exitReason: Effect.Effect<WorkerFailed>
  /** Returns when the worker's process has ended. */
  readonly exited: Effect.Effect<void>
  /** Whether the worker answers its health check, within a second. */
  readonly isHealthy: Effect.Effect<boolean>
  /** How the engine stops a request. */
  readonly cancellation: Cancellation
  /** Whether the worker keeps streamed answers for a hive that restarts. */
  readonly keepsAnswers: boolean
  /** Fields that the engine needs in the body of a streamed request, besides the client's. */
  readonly streamFields: Engine["streamFields"]
  /** Subtracts the request from the worker's load; returns how many answers the other requests have at most. */
  readonly withdraw: () => number
  /** Ends the worker's process, so that the supervisor starts another; does nothing when the process is another already. */
  readonly restart: (reason: string) => Effect.Effect<void>
}

/** Why no worker can take a request. */
export type LeaseError =
  | PlanError
  | QueueFull
  | WorkerFailed
  | WorkerNotFound
  | WorkerNotReady
  | WrongDevice
  | WrongModel

/** What a lease needs from the hive. */
export interface LeaseContext {
  readonly clock: Clock.Clock
  readonly pids: Pids["Service"]
  readonly processes: WorkerProcesses["Service"]
  /** Runs when the lease ends. */
  readonly released: Effect.Effect<void>
}

const exitTimeout = "1500 millis"
// A worker that does not answer a cancel most likely does not react to SIGTERM either.
const unresponsiveTimeout = "1 second"
const disconnect: Cancellation = { _tag: "Disconnect" }

const exitReason = ({ spec }: WorkerEntry, { exited }: ProcessRun) =>
  Effect.timeoutOrElse(Deferred.await(exited), {
    duration: exitTimeout,
    orElse: () =>
      Effect.succeed(
        new WorkerFailed({
          worker: spec.id,
          model: spec.model,
          reason: "it closed the connection mid-response",
          lastLines: []
        })
      )
  })

/** Counts a request of `answers` answers on the worker until the scope closes. */
export const openLease = Effect.fnUntraced(function* (
  entry: WorkerEntry,
  answers: number,
  { clock, pids, processes, released }: LeaseContext
) {
  const { engine, process, run, spec, state } = entry
  if (process === undefined) return yield* new WorkerNotReady({ worker: spec.id, state })
  let isWithdrawn = false
  const withdraw = () => {
    if (!isWithdrawn) entry.answers -= answers
    isWithdrawn = true
    return entry.answers
  }
  const countRequest = (by: number) => {
    entry.requests += by
    entry.usedAt = clock.currentTimeMillisUnsafe()
  }
  yield* Effect.acquireRelease(
    Effect.sync(() => {
      countRequest(1)
      entry.answers += answers
    }),
    () =>
      Effect.suspend(() => {
        withdraw()
        countRequest(-1)
        return released
      })
  )
  const restart = (reason: string) =>
    Effect.andThen(
      Effect.logWarning("restarting a worker", { worker: spec.id, reason }),
      pids.terminate(process, unresponsiveTimeout)
    )
  const lease: Lease = {
    id: spec.id,
    model: spec.model,
    port: process.port,
    contextSize: spec.contextSize,
    exitReason: exitReason(entry, run),
    exited: Effect.asVoid(Deferred.await(run.exited)),
    isHealthy: processes.isHealthy({ spec, process }),
    cancellation: engine?.cancellation ?? disconnect,
    keepsAnswers: engine?.keepsAnswers === true,
    streamFields: engine?.streamFields,
    withdraw,
    restart: (reason) => Effect.suspend(() => (entry.run === run ? restart(reason) : Effect.void))
  }
  return lease
})
