import { type Capability, missingCapability } from "../../operation/Capabilities.ts"
import type { WorkerShape } from "../../operation/WorkerShape.ts"
import { isDevice, isServing, keyOf, type WorkerView } from "./Fleet.ts"
import type { SchedulerLimits } from "./limits.ts"
import { blockTokens, type Prefixes } from "./Prefixes.ts"

/** What a request wants of its worker, whichever that is. */
export interface Constraints {
  /** Tokens that the worker must be able to hold. */
  readonly contextSize?: number | undefined
  /** Tokens that the prompt needs; a worker for it may be larger. Not said where `contextSize` is. */
  readonly minContext?: number | undefined
  /** Only there; anywhere when it is not said. */
  readonly hive?: string | undefined
  /** A device's id, or an index. */
  readonly device?: string | undefined
  /** Only of this engine. */
  readonly engine?: string | undefined
  /** What it must be able to do. */
  readonly capabilities?: ReadonlyArray<Capability> | undefined
}

/** What a decision looks at in a request. */
export interface Requirements extends Constraints {
  readonly model: string
  /** Tokens of the prompt and of the answer, as estimated. */
  readonly tokens: number
  readonly prefixes: ReadonlyArray<string>
}

/** What a worker is not, that a request needs; nothing when it will do. */
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
  return missing === undefined ? undefined : lacks(missing)
}

/** Why an engine is no choice for a request. */
export const lacks = (capability: Capability) => `it is not able to do what is needed: ${capability}`

/** A worker with what counts when it may have to go. Times in milliseconds of one clock. */
export interface WorkerUse {
  readonly worker: WorkerView
  readonly running: number
  readonly usedAt: number
  readonly loadedAt: number
}

/** A worker with what is reserved on it and known of it. */
export interface LoadedWorker extends WorkerUse {
  /** Tokens that are reserved and not finished. */
  readonly outstanding: number
  readonly prefixes: Prefixes
  /** It is to go, and takes nothing new. */
  readonly draining: boolean
  /** Until when it gets nothing because it failed again and again. */
  readonly openUntil: number
  readonly faults: number
  /** Until when it gets nothing because it said that it is full. */
  readonly pausedUntil: number
}

/** A worker or a device that was looked at: how good it is (less is better), or why not. */
export interface Candidate {
  readonly where: string
  readonly score?: number
  readonly rejection?: string
  /** What would have to go for it. */
  readonly evict?: ReadonlyArray<string>
}

/** Where a request runs now; what has to be waited for; that it can never run; or that its loads fail. */
export type Decision =
  | { readonly _tag: "Run"; readonly worker: WorkerView; readonly sharedTokens: number }
  | {
      readonly _tag: "Place"
      readonly hive: string
      readonly device: string
      readonly memoryBytes: number
      readonly revision?: string | undefined
      /** How large the worker is to be; as its hive sees fit when it is not said. */
      readonly shape?: WorkerShape | undefined
      /** The hive's default engine when it is not said. */
      readonly engine?: string | undefined
      readonly evict: ReadonlyArray<WorkerView>
    }
  | { readonly _tag: "Wait"; readonly reason: string }
  | { readonly _tag: "Impossible"; readonly reason: string }
  /** No engine of the fleet can do what is needed. */
  | { readonly _tag: "Incapable"; readonly capability: Capability }
  /** Loads failed a moment ago wherever it could be loaded; `until` is when that is tried again. */
  | { readonly _tag: "Failed"; readonly reason: string; readonly until: number }

/** Why a worker takes no request now; nothing when it does. */
const refusalOf = (loaded: LoadedWorker, wish: Requirements, now: number, limits: SchedulerLimits) => {
  const { draining, faults, openUntil, pausedUntil, running, worker } = loaded
  if (!isServing(worker)) return `it is ${worker.state}`
  if (draining) return "it is about to be stopped"
  if (openUntil > now) return `it failed ${faults} times in a row and rests`
  if (pausedUntil > now) return "it said a moment ago that it is full"
  const missing = mismatch(worker, wish)
  if (missing !== undefined) return missing
  if (running >= worker.slots) return `all its ${worker.slots} slots are taken`
  // After its rest it proves itself with one request.
  if (faults >= limits.breakerFaults && running > 0) return "it is on probation"
  return undefined
}

/**
 * Chooses among the workers of a model: the one with the fewest outstanding tokens, less those of the prompt that it
 * still has in its memory, unless it has far more to do than another. `look` is told of each.
 */
export const chooseWorker = (
  workers: Iterable<LoadedWorker>,
  wish: Requirements,
  now: number,
  limits: SchedulerLimits,
  look?: (candidate: Candidate) => void
): LoadedWorker | undefined => {
  const fit: Array<LoadedWorker> = []
  let least = Number.POSITIVE_INFINITY
  for (const loaded of workers) {
    const rejection = refusalOf(loaded, wish, now, limits)
    if (rejection === undefined) {
      fit.push(loaded)
      least = Math.min(least, loaded.outstanding)
    } else look?.({ where: keyOf(loaded.worker), rejection })
  }
  let best: LoadedWorker | undefined
  let bestScore = Number.POSITIVE_INFINITY
  for (const loaded of fit) {
    const { outstanding, prefixes, usedAt, worker } = loaded
    const isBalanced = outstanding - least <= limits.imbalanceTokens
    const score = outstanding - (isBalanced ? prefixes.shared(wish.prefixes) * blockTokens : 0)
    look?.({ where: keyOf(worker), score })
    if (score < bestScore || (score === bestScore && usedAt < (best?.usedAt ?? 0))) {
      best = loaded
      bestScore = score
    }
  }
  return best
}
