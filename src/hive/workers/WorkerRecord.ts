import * as Schema from "effect/Schema"
import { WorkerId } from "../../operation/fields.ts"
import { WorkerSpec } from "../engines/WorkerSpec.ts"

/**
 * `busy`: ready, and it has requests. `draining`: stopping, until the process has ended. `stopped`: ended by a stop.
 * `failed`: not restarted automatically any more.
 */
export const WorkerState = Schema.Literals(["starting", "ready", "busy", "draining", "stopped", "failed"])
export type WorkerState = typeof WorkerState.Type

/** A worker in the wire's format. `pid` and `port` are present only while a process is alive. */
export const WorkerRecord = Schema.Struct({
  id: WorkerId,
  model: Schema.String,
  state: WorkerState,
  worker: Schema.String,
  device: Schema.Int,
  pid: Schema.optionalKey(Schema.Int),
  port: Schema.optionalKey(Schema.Int),
  reason: Schema.optionalKey(Schema.String)
})
export type WorkerRecord = typeof WorkerRecord.Type

/** A worker's process and its port on loopback. */
export const WorkerProcess = Schema.Struct({
  pid: Schema.Int,
  /** The process's start time as the system reports it, because pids are reused. */
  startTime: Schema.String,
  port: Schema.Int
})
export type WorkerProcess = typeof WorkerProcess.Type

/** The record of a running worker, from which a restarted hive adopts it. */
export const StoredWorker = Schema.Struct({ spec: WorkerSpec, process: WorkerProcess })
export type StoredWorker = typeof StoredWorker.Type
