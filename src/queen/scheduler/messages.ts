import type { Capability } from "../../operation/Capabilities.ts"
import type { Constraints, Requirements, WorkerUse } from "./decide.ts"
import type { HiveView, WorkerView } from "./Fleet.ts"

/** A request for a worker. Times in milliseconds of one clock. */
export interface QueuedRequest extends Requirements {
  readonly id: string
  /** The API key; the queue is fair between keys. */
  readonly key: string
  /** Higher is served first. */
  readonly priority: number
  readonly askedAt: number
  /** The end of its waiting time. */
  readonly deadline: number
  /** Slots of a worker that is started for it. */
  readonly parallel?: number | undefined
  /** Workers that failed this request; used again only if the model has no other worker. */
  readonly avoid?: ReadonlyArray<string>
  /** Only a worker that serves already and is not in `avoid`; refused as soon as there is none. */
  readonly servingOnly?: boolean | undefined
}

/**
 * How a request ended. Only `fault` counts against the worker: it exited, failed its health check, or violated the
 * protocol. `engine`: a healthy engine rejected the request, and others likely would too. `client`: no worker can serve
 * the request, or its client disconnected. `busy`: the worker or its hive has no room now.
 */
export type Outcome = "ok" | "client" | "engine" | "busy" | "fault"

/** A model's need for one more worker. */
export interface WorkerDemand extends Constraints {
  readonly model: string
  /** When the first request for it was queued. */
  readonly since: number
  /** Other workers serve the model; one more is started only without evictions. */
  readonly extra: boolean
  readonly parallel?: number | undefined
}

/** Why a request was refused. */
export type Refusal =
  | { readonly _tag: "QueueFull"; readonly limit: number }
  | { readonly _tag: "QueueTimeout"; readonly waitedMs: number; readonly why: string }
  | { readonly _tag: "NoOtherWorker" }
  | { readonly _tag: "Impossible"; readonly reason: string }
  | { readonly _tag: "Incapable"; readonly capability: Capability }
  /** `retryAfterMs`: the time until the next load may be tried. */
  | { readonly _tag: "LoadFailed"; readonly reason: string; readonly retryAfterMs?: number }

/**
 * The cause of a failed load. `full`: the hive has less room than it reported; `hive`: the hive failed or was away;
 * `killed`: another process killed the loading worker; `model`: its file or its engine.
 */
export type LoadFault = "full" | "hive" | "killed" | "model"

/** An input of the scheduler. */
export type Message =
  | { readonly _tag: "Asked"; readonly request: QueuedRequest }
  /** The client of a waiting request disconnected. */
  | { readonly _tag: "Left"; readonly id: string }
  | { readonly _tag: "Ended"; readonly id: string; readonly outcome: Outcome }
  /** The current state of all hives. */
  | { readonly _tag: "Fleet"; readonly hives: ReadonlyArray<HiveView> }
  | { readonly _tag: "Loaded"; readonly load: string; readonly worker: WorkerView }
  | { readonly _tag: "LoadFailed"; readonly load: string; readonly reason: string; readonly fault: LoadFault }
  | { readonly _tag: "Deleted"; readonly worker: WorkerView }
  /** Sent periodically: deadlines, cooldowns and idle times may have passed. */
  | { readonly _tag: "Tick" }

/** An output of the scheduler. */
export type Command =
  | { readonly _tag: "Run"; readonly id: string; readonly worker: WorkerView; readonly sharedTokens: number }
  | { readonly _tag: "Waits"; readonly id: string; readonly position: number; readonly why: string }
  | { readonly _tag: "Refuse"; readonly id: string; readonly refusal: Refusal }
  | {
      readonly _tag: "Load"
      readonly load: string
      readonly hive: string
      readonly device: string
      /** Absent: the hive's default engine. */
      readonly engine?: string | undefined
      readonly demand: WorkerDemand
    }
  | { readonly _tag: "Delete"; readonly worker: WorkerView; readonly reason: string }

/** A message between a model queue and the placement manager. */
export type InternalEvent =
  | { readonly _tag: "Wanted"; readonly demand: WorkerDemand }
  | { readonly _tag: "Unwanted"; readonly model: string }
  | { readonly _tag: "Placed"; readonly worker: WorkerView }
  | { readonly _tag: "NotPlaced"; readonly demand: WorkerDemand; readonly refusal: Refusal }
  /** A worker was reserved, released, or reported for the first time. */
  | { readonly _tag: "Used"; readonly use: WorkerUse }
  /** Why the demand of a model is not met yet. */
  | { readonly _tag: "Pending"; readonly model: string; readonly why: string }
  /** Stop new requests of a worker if it is idle; with `force`, also if it is busy. */
  | { readonly _tag: "Drain"; readonly worker: WorkerView; readonly force: boolean }
  | { readonly _tag: "Drained"; readonly worker: WorkerView; readonly granted: boolean }
  /** The worker was idle for `idleTtl`. */
  | { readonly _tag: "Expired"; readonly worker: WorkerView }
