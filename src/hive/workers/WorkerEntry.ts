import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import type * as Fiber from "effect/Fiber"
import * as Semaphore from "effect/Semaphore"
import type { Engine } from "../engines/Engine.ts"
import type { WorkerSpec } from "../engines/WorkerSpec.ts"
import { type WorkerFailed, WorkerNotFound } from "./errors.ts"
import type { WorkerProcess, WorkerRecord } from "./WorkerRecord.ts"
import { type LastingState, next, type WorkerEvent } from "./workerStates.ts"

/** From the start of a worker's process to its end. */
export interface ProcessRun {
  readonly ready: Deferred.Deferred<void, WorkerFailed>
  readonly exited: Deferred.Deferred<WorkerFailed>
}

/** The current state of one worker of this hive. */
export interface WorkerEntry {
  readonly spec: WorkerSpec
  /** Serializes stops and restarts. */
  readonly lock: Semaphore.Semaphore
  state: LastingState
  run: ProcessRun
  process: WorkerProcess | undefined
  /** The engine of the process. */
  engine: Engine | undefined
  reason: string | undefined
  /** Before it was ready once, a worker is removed when its start fails or no request waits for it any longer. */
  wasReady: boolean
  waiters: number
  requests: number
  /** How many answers the engine writes at once for the requests; one request may ask for several. */
  answers: number
  /** When the worker last had a request, or became ready: milliseconds of the clock. */
  usedAt: number
  fiber: Fiber.Fiber<void> | undefined
}

export const newRun = (): ProcessRun => ({ ready: Deferred.makeUnsafe(), exited: Deferred.makeUnsafe() })

export const newEntry = (spec: WorkerSpec): WorkerEntry => ({
  spec,
  lock: Semaphore.makeUnsafe(1),
  state: "starting",
  run: newRun(),
  process: undefined,
  engine: undefined,
  reason: undefined,
  wasReady: false,
  waiters: 0,
  requests: 0,
  answers: 0,
  usedAt: 0,
  fiber: undefined
})

/** The worker with the id. */
export const findEntry = (entries: ReadonlyMap<string, WorkerEntry>, id: string) =>
  Effect.suspend(() => {
    const entry = entries.get(id)
    return entry === undefined
      ? Effect.fail(new WorkerNotFound({ worker: id, known: [...entries.keys()] }))
      : Effect.succeed(entry)
  })

/** The worker in the wire's format. */
export const recordOf = ({ process, reason, requests, spec, state }: WorkerEntry): WorkerRecord => ({
  id: spec.id,
  model: spec.model,
  state: state === "ready" && requests > 0 ? "busy" : state,
  worker: spec.worker,
  device: spec.device,
  ...(process === undefined ? {} : { pid: process.pid, port: process.port }),
  ...(reason === undefined ? {} : { reason })
})

/** The only place that changes a worker's state. Callers are the worker's own fiber and the holder of its lock. */
export const transition = (entry: WorkerEntry, event: WorkerEvent, reason: string | undefined) =>
  Effect.suspend(() => {
    const from = entry.state
    entry.state = next(from, event)
    entry.reason = reason
    if (entry.state === from) return Effect.void
    return Effect.logInfo("worker state changed", {
      worker: entry.spec.id,
      from,
      to: entry.state,
      reason: reason ?? event
    })
  })

/** Ends the current process run: requests that wait for the worker, or read from it, get the failure. */
export const settle = (entry: WorkerEntry, failure: WorkerFailed) => {
  entry.process = undefined
  return Effect.andThen(Deferred.fail(entry.run.ready, failure), Deferred.succeed(entry.run.exited, failure))
}
