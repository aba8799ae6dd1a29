import type { Capability } from "../../operation/Capabilities.ts"
import type { Constraints, Requirements, WorkerUse } from "./decide.ts"
import type { HiveView, WorkerView } from "./Fleet.ts"

/** A request that wants a worker. Times in milliseconds of one clock. */
export interface QueuedRequest extends Requirements {
  readonly id: string
  /** Who asks: requests of one key do not hold back those of another. */
  readonly key: string
  /** Higher goes first. */
  readonly priority: number
  readonly askedAt: number
  /** When it stops waiting. */
  readonly deadline: number
  /** Requests at the same time of a worker that is placed for it. */
  readonly parallel?: number | undefined
  /** Workers that failed it already, and get it again only if there is no other. */
  readonly avoid?: ReadonlyArray<string>
  /** Takes only a worker that serves already and that it does not avoid; refused as soon as there is none. */
  readonly servingOnly?: boolean | undefined
}

/**
 * How a request ended. Only `fault` counts against the worker: it died, does not answer its health check, or broke the
 * protocol. `engine`: a healthy engine failed the request, as any other is likely to. `client`: the request cannot be
 * served anywhere, or its client left. `busy`: the worker or its hive has no room now.
 */
export type Outcome = "ok" | "client" | "engine" | "busy" | "fault"

/** What a worker that is to be placed must be like. */
export interface WorkerDemand extends Constraints {
  readonly model: string
  readonly since: number
  /** There are workers already, and one more is welcome where nothing has to go for it. */
  readonly extra: boolean
  readonly parallel?: number | undefined
}

/** Why a request got no worker. */
export type Refusal =
  | { readonly _tag: "QueueFull"; readonly limit: number }
  | { readonly _tag: "QueueTimeout"; readonly waitedMs: number; readonly why: string }
  | { readonly _tag: "NoOtherWorker" }
  | { readonly _tag: "Impossible"; readonly reason: string }
  | { readonly _tag: "Incapable"; readonly capability: Capability }
  /** `retryAfterMs`: when a load is tried again. */
  | { readonly _tag: "LoadFailed"; readonly reason: string; readonly retryAfterMs?: number }

/**
 * What was at fault when a worker was not loaded. `full`: the hive has no room, though it seemed so; `hive`: the hive
 * failed or was away; `killed`: the worker was ended from outside while it loaded; `model`: its file or its engine.
 */
export type LoadFault = "full" | "hive" | "killed" | "model"

/** What happens outside, and is told to the scheduler. */
export type Message =
  | { readonly _tag: "Asked"; readonly request: QueuedRequest }
  /** The request left the queue by itself. */
  | { readonly _tag: "Left"; readonly id: string }
  | { readonly _tag: "Ended"; readonly id: string; readonly outcome: Outcome }
  /** All hives that can be reached, as they are now. */
  | { readonly _tag: "Fleet"; readonly hives: ReadonlyArray<HiveView> }
  | { readonly _tag: "Loaded"; readonly load: string; readonly worker: WorkerView }
  | { readonly _tag: "LoadFailed"; readonly load: string; readonly reason: string; readonly fault: LoadFault }
  | { readonly _tag: "Deleted"; readonly worker: WorkerView }
  /** Time has passed. */
  | { readonly _tag: "Tick" }

/** What the scheduler wants to be done outside. */
export type Command =
  | { readonly _tag: "Run"; readonly id: string; readonly worker: WorkerView; readonly sharedTokens: number }
  | { readonly _tag: "Waits"; readonly id: string; readonly position: number; readonly why: string }
  | { readonly _tag: "Refuse"; readonly id: string; readonly refusal: Refusal }
  | {
      readonly _tag: "Load"
      readonly load: string
      readonly hive: string
      readonly device: string
      /** The hive's default engine when it is not said. */
      readonly engine?: string | undefined
      readonly demand: WorkerDemand
    }
  | { readonly _tag: "Delete"; readonly worker: WorkerView; readonly reason: string }

/** What the queues of the models and the placer say to each other. */
export type InternalEvent =
  | { readonly _tag: "Wanted"; readonly demand: WorkerDemand }
  | { readonly _tag: "Unwanted"; readonly model: string }
  | { readonly _tag: "Placed"; readonly worker: WorkerView }
  | { readonly _tag: "NotPlaced"; readonly demand: WorkerDemand; readonly refusal: Refusal }
  /** A worker was taken, given back, or seen for the first time. */
  | { readonly _tag: "Used"; readonly use: WorkerUse }
  /** The placer waits for something. */
  | { readonly _tag: "Pending"; readonly model: string; readonly why: string }
  /** The worker should go, when it is idle, or with `force` when it has finished what it has. */
  | { readonly _tag: "Drain"; readonly worker: WorkerView; readonly force: boolean }
  | { readonly _tag: "Drained"; readonly worker: WorkerView; readonly granted: boolean }
  /** Nobody asked for the worker for so long that it should go. */
  | { readonly _tag: "Expired"; readonly worker: WorkerView }
