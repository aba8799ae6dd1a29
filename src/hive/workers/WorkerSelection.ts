import * as Result from "effect/Result"
import { type Capability, missingCapability } from "../../operation/Capabilities.ts"
import { WorkerNotReady, WrongDevice, WrongModel } from "./errors.ts"
import { type DeviceFilter, deviceName, passes } from "./Placement.ts"
import type { WorkerEntry } from "./WorkerEntry.ts"
import type { LastingState } from "./workerStates.ts"

/** What a request needs from a worker. */
export interface LeaseRequest {
  readonly model: string
  /** The index of the device; any device when absent. */
  readonly device?: number | undefined
  /** The device that the request names. */
  readonly on?: DeviceFilter | undefined
  readonly workerId?: string | undefined
  /** The engine, context length in tokens and requests at the same time that the settings have for the model's name. */
  readonly engine?: string | undefined
  readonly contextSize?: number | undefined
  /** Tokens that the request needs. */
  readonly minContext?: number | undefined
  readonly parallel?: number | undefined
  /** The capabilities that the worker must have. */
  readonly capabilities?: ReadonlyArray<Capability> | undefined
  /** Waits in a queue until a worker has a free slot; without it a busy worker takes the request and queues it itself. */
  readonly inLine?: boolean | undefined
  /** How many answers the request asks for; the default is one. */
  readonly answers?: number | undefined
}

/** Whether the worker serves the model and meets the request's other requirements. */
export const matches = (
  { spec }: WorkerEntry,
  {
    capabilities = [],
    contextSize = 0,
    device = spec.device,
    engine = spec.engine,
    minContext = 0,
    model,
    on = {}
  }: LeaseRequest
) =>
  spec.model === model &&
  spec.device === device &&
  passes(on, { backend: spec.backend, index: spec.device }) &&
  spec.engine === engine &&
  spec.contextSize >= Math.max(contextSize, minContext) &&
  missingCapability(capabilities, spec.capabilities) === undefined

const isLessBusy = (one: WorkerEntry, other: WorkerEntry) =>
  hasFreeSlot(one) === hasFreeSlot(other) ? one.requests < other.requests : hasFreeSlot(one)

/** Whether the worker would start one more request immediately. */
export const hasFreeSlot = ({ requests, spec }: WorkerEntry) => requests < spec.parallel

/** The matching worker in the state that has a free slot and the fewest requests; the oldest one of several. */
export const leastBusy = (entries: Iterable<WorkerEntry>, request: LeaseRequest, state: LastingState) => {
  let best: WorkerEntry | undefined
  for (const entry of entries) {
    if (entry.state !== state || !matches(entry, request)) continue
    if (best === undefined || isLessBusy(entry, best)) best = entry
  }
  return best
}

/** Checks the worker that a request names. */
export const checkNamed = (
  entry: WorkerEntry,
  request: LeaseRequest
): Result.Result<WorkerEntry, WorkerNotReady | WrongDevice | WrongModel> => {
  const { reason, spec, state } = entry
  const { device, model, on } = request
  if (spec.model !== model) {
    return Result.fail(new WrongModel({ worker: spec.id, serves: spec.model, asked: model }))
  }
  if ((device !== undefined || on !== undefined) && !matches(entry, request)) {
    const named = on === undefined ? undefined : deviceName(on)
    const runsOn = `${spec.backend}-${spec.device}`
    return Result.fail(new WrongDevice({ worker: spec.id, runsOn, asked: named ?? `device ${device}` }))
  }
  if (state === "ready" || state === "starting") return Result.succeed(entry)
  return Result.fail(
    new WorkerNotReady({ worker: spec.id, state, ...(reason === undefined ? {} : { reason }) })
  )
}
