import * as Schema from "effect/Schema"
import { WorkerId } from "../../operation/fields.ts"
import { WorkerSpec } from "../engines/WorkerSpec.ts"

/**
 * `busy` is a worker that is ready and has requests; `draining` lasts until the process has ended; `stopped` is one that
 * ended because it should; `failed` is final until somebody restarts the worker.
 */
export const WorkerState = Schema.Literals(["starting", "ready", "busy", "draining", "stopped", "failed"])
export type WorkerState = typeof WorkerState.Type

/** A worker as the wire shows it. `pid` and `port` are there only while a process lives. */
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

/** A worker's process and where it listens on loopback. */
export const WorkerProcess = Schema.Struct({
  pid: Schema.Int,
  /** When the process started, as the system tells it: the same number may be another process later. */
  startTime: Schema.String,
  port: Schema.Int
})
export type WorkerProcess = typeof WorkerProcess.Type

/** What a hive leaves about a running worker, for the hive that comes after it. */
export const StoredWorker = Schema.Struct({ spec: WorkerSpec, process: WorkerProcess })
export type StoredWorker = typeof StoredWorker.Type
