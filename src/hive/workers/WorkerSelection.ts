import { type Capability, missingCapability } from "../../operation/Capabilities.ts"
import { type DeviceFilter, passes } from "./Placement.ts"
import type { LastingState } from "./workerStates.ts"
import type { WorkerEntry } from "./WorkerSupervisor.ts"

/** What a request needs of a worker. */
export interface LeaseRequest {
  readonly model: string
  /** The index of the device; any device when absent. */
  readonly device?: number | undefined
  /** The device as it was named. */
  readonly on?: DeviceFilter | undefined
  readonly workerId?: string | undefined
  /** The engine, context length in tokens and requests at the same time that were set for the model's name. */
  readonly engine?: string | undefined
  readonly contextSize?: number | undefined
  /** Tokens that the request needs. */
  readonly minContext?: number | undefined
  readonly parallel?: number | undefined
  /** What the worker must be able to do. */
  readonly capabilities?: ReadonlyArray<Capability> | undefined
  /** Waits until a worker has room for it, behind those who came before; else a worker takes it and has it wait. */
  readonly inLine?: boolean | undefined
  /** How many answers the request asks for; one, when it is not said. */
  readonly answers?: number | undefined
}

/** Whether the worker has the model, and is what else was asked for. */
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

/** Whether the worker would work on one more request at once. */
export const hasFreeSlot = ({ requests, spec }: WorkerEntry) => requests < spec.parallel

/** The worker in a state that suits the request, has room and the fewest requests; the oldest of those. */
export const leastBusy = (entries: Iterable<WorkerEntry>, request: LeaseRequest, state: LastingState) => {
  let best: WorkerEntry | undefined
  for (const entry of entries) {
    if (entry.state !== state || !matches(entry, request)) continue
    if (best === undefined || isLessBusy(entry, best)) best = entry
  }
  return best
}
