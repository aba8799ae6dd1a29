import { type Capability, missingCapability } from "../../operation/Capabilities.ts"
import type { WorkerShape } from "../../operation/WorkerShape.ts"
import { isDevice, isServing, keyOf, type WorkerView } from "./Fleet.ts"
import type { SchedulerLimits } from "./limits.ts"
import { blockTokens, type Prefixes } from "./Prefixes.ts"

/** The constraints of a request on its worker. */
export interface Constraints {
  /** The least context length of the worker, in tokens. */
  readonly contextSize?: number | undefined
  /** Tokens that the prompt needs; the worker may be larger. Absent if `contextSize` is set. */
  readonly minContext?: number | undefined
  /** Only this hive; absent: any. */
  readonly hive?: string | undefined
  /** A device's id, or an index. */
  readonly device?: string | undefined
  /** Only this engine. */
  readonly engine?: string | undefined
  /** What the worker must be capable of. */
  readonly capabilities?: ReadonlyArray<Capability> | undefined
}

/** What a request needs, with its estimated size. */
export interface Requirements extends Constraints {
  readonly model: string
  /** Tokens of the prompt and of the answer, as estimated. */
  readonly tokens: number
  readonly prefixes: ReadonlyArray<string>
}

/** The first constraint that a worker does not meet; undefined when it meets all. */
export const mismatch = (
  { capabilities, contextSize, device, engine, hive }: WorkerView,
  needs: Constraints
): string | undefined => {
  if (needs.hive !== undefined && needs.hive !== hive) return `it is not on hive ${needs.hive}`
  if (needs.device !== undefined && !isDevice(needs.device, device)) return `it is on ${device}`
  if (needs.engine !== undefined && needs.engine !== engine) return `its engine is ${engine}`
  if (contextSize < Math.max(needs.contextSize ?? 0, needs.minContext ?? 0)) {
    return `its context is ${contextSize} tokens`
  }
  const missing = missingCapability(needs.capabilities ?? [], capabilities)
  return missing === undefined ? undefined : missingCapabilityReason(missing)
}

/** Why an engine or worker without a capability cannot serve a request. */
export const missingCapabilityReason = (capability: Capability) =>
  `it lacks a needed capability: ${capability}`

/** The use of a worker, which decides on its eviction. Times in milliseconds of one clock. */
export interface WorkerUse {
  readonly worker: WorkerView
  readonly running: number
  readonly usedAt: number
  readonly loadedAt: number
}

/** A worker with its reservations, prefix cache and circuit breaker. */
export interface LoadedWorker extends WorkerUse {
  /** Reserved tokens of running requests. */
  readonly outstanding: number
  readonly prefixes: Prefixes
  /** It is about to be stopped and accepts no requests. */
  readonly draining: boolean
  /** The end of its open circuit breaker. */
  readonly openUntil: number
  readonly faults: number
  /** The end of its pause after it reported that it is full. */
  readonly pausedUntil: number
}

/** A worker or a device that was considered: its score (lower is better), or why it was rejected. */
export interface Candidate {
  readonly where: string
  readonly score?: number
  readonly rejection?: string
  /** The workers that would be evicted. */
  readonly evict?: ReadonlyArray<string>
}

/** The decision for a request: run now, load a worker, wait, or refuse. */
export type Decision =
  | { readonly _tag: "Run"; readonly worker: WorkerView; readonly sharedTokens: number }
  | {
      readonly _tag: "Place"
      readonly hive: string
      readonly device: string
      readonly memoryBytes: number
      readonly revision?: string | undefined
      /** Context length and slots; absent: chosen by the hive. */
      readonly shape?: WorkerShape | undefined
      /** Absent: the hive's default engine. */
      readonly engine?: string | undefined
      readonly evict: ReadonlyArray<WorkerView>
    }
  | { readonly _tag: "Wait"; readonly reason: string }
  | { readonly _tag: "Impossible"; readonly reason: string }
  /** No engine of the fleet has the capability. */
  | { readonly _tag: "Incapable"; readonly capability: Capability }
  /** Recent loads failed at every possible place; `until`: the end of the first cooldown. */
  | { readonly _tag: "Failed"; readonly reason: string; readonly until: number }

/** Why a worker cannot start the request now; undefined when it can. */
const rejectionOf = (
  loaded: LoadedWorker,
  requirements: Requirements,
  now: number,
  limits: SchedulerLimits
) => {
  const { draining, faults, openUntil, pausedUntil, running, worker } = loaded
  if (!isServing(worker)) return `it is ${worker.state}`
  if (draining) return "it is about to be stopped"
  if (openUntil > now) return `circuit breaker open after ${faults} consecutive failures`
  if (pausedUntil > now) return "it recently reported that it is full"
  const missing = mismatch(worker, requirements)
  if (missing !== undefined) return missing
  if (running >= worker.slots) return `all its ${worker.slots} slots are taken`
  // Half-open: one request at a time until one succeeds.
  if (faults >= limits.breakerFaults && running > 0) return "circuit breaker half-open"
  return undefined
}

/**
 * Chooses the worker with the fewest outstanding tokens, less the prompt's tokens in its prefix cache. The cache does not
 * count for a worker with far more outstanding tokens than another. `onCandidate` gets each worker considered.
 */
export const chooseWorker = (
  workers: Iterable<LoadedWorker>,
  requirements: Requirements,
  now: number,
  limits: SchedulerLimits,
  onCandidate?: (candidate: Candidate) => void
): LoadedWorker | undefined => {
  const available: Array<LoadedWorker> = []
  let least = Number.POSITIVE_INFINITY
  for (const loaded of workers) {
    const rejection = rejectionOf(loaded, requirements, now, limits)
    if (rejection === undefined) {
      available.push(loaded)
      least = Math.min(least, loaded.outstanding)
    } else onCandidate?.({ where: keyOf(loaded.worker), rejection })
  }
  let best: LoadedWorker | undefined
  let bestScore = Number.POSITIVE_INFINITY
  for (const loaded of available) {
    const { outstanding, prefixes, usedAt, worker } = loaded
    const isBalanced = outstanding - least <= limits.imbalanceTokens
    const score = outstanding - (isBalanced ? prefixes.shared(requirements.prefixes) * blockTokens : 0)
    onCandidate?.({ where: keyOf(worker), score })
    if (score < bestScore || (score === bestScore && usedAt < (best?.usedAt ?? 0))) {
      best = loaded
      bestScore = score
    }
  }
  return best
}
