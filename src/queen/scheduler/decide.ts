import { type DeviceView, type HiveView, isServing, keyOf, type WorkerView } from "./Fleet.ts"
import type { SchedulerLimits } from "./limits.ts"
import { blockTokens, type Prefixes } from "./Prefixes.ts"

/** What a request wants of its worker, whichever that is. */
export interface Needs {
  /** Tokens that the worker must be able to hold. */
  readonly contextSize?: number | undefined
  /** Only there; anywhere when it is not said. */
  readonly hive?: string | undefined
  readonly device?: string | undefined
  /** Only of this engine. */
  readonly engine?: string | undefined
}

/** What a decision looks at in a request. */
export interface Wish extends Needs {
  readonly model: string
  /** Tokens of the prompt and of the answer, as estimated. */
  readonly tokens: number
  readonly prefixes: ReadonlyArray<string>
}

/** What a worker is not, that a request needs; nothing when it will do. */
export const misfit = (
  { contextSize, device, engine, hive }: WorkerView,
  needs: Needs
): string | undefined => {
  if (needs.hive !== undefined && needs.hive !== hive) return `it is not on hive ${needs.hive}`
  if (needs.device !== undefined && needs.device !== device) return `it is on ${device}`
  if (needs.engine !== undefined && needs.engine !== engine) return `its engine is ${engine}`
  if (needs.contextSize !== undefined && contextSize < needs.contextSize) {
    return `its context is ${contextSize} tokens`
  }
  return undefined
}

/** A worker with what is reserved on it and known of it. Times in milliseconds of one clock. */
export interface LoadedWorker {
  readonly worker: WorkerView
  readonly running: number
  /** Tokens that are reserved and not finished. */
  readonly outstanding: number
  readonly prefixes: Prefixes
  readonly usedAt: number
  readonly loadedAt: number
  /** It is to go, and takes nothing new. */
  readonly draining: boolean
  /** Until when it gets nothing because it failed again and again. */
  readonly openUntil: number
  readonly faults: number
}

/** A worker or a device that was looked at: how good it is (less is better), or why not. */
export interface Candidate {
  readonly where: string
  readonly score?: number
  readonly whyNot?: string
  /** What would have to go for it. */
  readonly evict?: ReadonlyArray<string>
}

/** Where a request runs now; what has to be waited for; or that it can never run. */
export type Decision =
  | { readonly _tag: "Run"; readonly worker: WorkerView; readonly sharedTokens: number }
  | {
      readonly _tag: "Place"
      readonly hive: string
      readonly device: string
      readonly memoryBytes: number
      readonly evict: ReadonlyArray<WorkerView>
    }
  | { readonly _tag: "Wait"; readonly reason: string }
  | { readonly _tag: "Impossible"; readonly reason: string }

/** Why a worker takes no request now; nothing when it does. */
const refusalOf = (loaded: LoadedWorker, wish: Wish, now: number, limits: SchedulerLimits) => {
  const { draining, faults, openUntil, running, worker } = loaded
  if (!isServing(worker)) return `it is ${worker.state}`
  if (draining) return "it is about to be stopped"
  if (openUntil > now) return `it failed ${faults} times in a row and rests`
  const missing = misfit(worker, wish)
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
  wish: Wish,
  now: number,
  limits: SchedulerLimits,
  look?: (candidate: Candidate) => void
): LoadedWorker | undefined => {
  const fit: Array<LoadedWorker> = []
  let least = Number.POSITIVE_INFINITY
  for (const loaded of workers) {
    const whyNot = refusalOf(loaded, wish, now, limits)
    if (whyNot === undefined) {
      fit.push(loaded)
      least = Math.min(least, loaded.outstanding)
    } else look?.({ where: keyOf(loaded.worker), whyNot })
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

/** What the placing of a worker looks at besides the hives. */
export interface PlacementView {
  readonly hives: Iterable<HiveView>
  /** Free bytes of a device, with what is on its way there and what was just given back. */
  readonly freeBytes: (hive: HiveView, device: DeviceView) => number
  /** The workers of a hive with what is known of each; those that are not known are not touched. */
  readonly loaded: (worker: WorkerView) => LoadedWorker | undefined
  /** Whether a load there failed a moment ago. */
  readonly rests: (hive: string, device: string) => boolean
}

/** How a worker may be placed. */
export interface PlacementRules {
  /** Idle workers may go. */
  readonly mayEvict: boolean
  /** Busy workers may go too, when they have finished: somebody has waited for too long. */
  readonly mayDrain: boolean
  /** Only there; anywhere when it is not said. */
  readonly hive?: string | undefined
  readonly device?: string | undefined
}

const assumedBytesPerMs = 500_000

/** What it costs to evict a worker: the time to load it again, less the longer nobody asked for it. */
const evictionCost = ({ usedAt, worker }: LoadedWorker, now: number) =>
  worker.memoryBytes / assumedBytesPerMs / (1 + (now - usedAt) / 1000)

const whatMustGo = (
  needed: number,
  free: number,
  victims: ReadonlyArray<LoadedWorker>
): ReadonlyArray<WorkerView> | undefined => {
  let room = free
  const chosen: Array<LoadedWorker> = []
  for (const victim of victims) {
    if (room >= needed) break
    chosen.push(victim)
    room += victim.worker.memoryBytes
  }
  if (room < needed) return undefined
  // What was taken first may be too little to matter once a large one had to go.
  return chosen
    .filter(({ worker }) => {
      if (room - worker.memoryBytes < needed) return true
      room -= worker.memoryBytes
      return false
    })
    .map(({ worker }) => worker)
}

/**
 * Chooses the device for a worker of a model: on a hive that has the model's file, a GPU before a CPU, where it fits
 * without anything having to go before where something has to, and there where what goes is worth least.
 */
export const placeWorker = (
  model: string,
  { freeBytes, hives, loaded, rests }: PlacementView,
  rules: PlacementRules,
  now: number,
  limits: SchedulerLimits,
  look?: (candidate: Candidate) => void
): Decision => {
  let best: { readonly decision: Extract<Decision, { _tag: "Place" }>; readonly score: number } | undefined
  let hasFile = false
  let couldFit = false
  for (const hive of hives) {
    if (rules.hive !== undefined && hive.id !== rules.hive) continue
    const file = hive.models.find(({ id }) => id === model)
    if (file === undefined) {
      look?.({ where: hive.id, whyNot: "the model's file is not there" })
      continue
    }
    hasFile = true
    const hasGpu = hive.devices.some(({ kind, usable }) => usable && kind === "gpu")
    for (const device of hive.devices) {
      const where = `${hive.id}/${device.id}`
      const whyNot = (reason: string) => look?.({ where, whyNot: reason })
      if (rules.device !== undefined && device.id !== rules.device) continue
      if (!device.usable) {
        whyNot("the hive's engine cannot compute on it")
        continue
      }
      if (rules.device === undefined && hasGpu && device.kind === "cpu") {
        whyNot("the hive has a GPU")
        continue
      }
      if (file.memoryBytes > device.totalBytes) {
        whyNot(`the model needs ${file.memoryBytes} bytes and the device has ${device.totalBytes}`)
        continue
      }
      couldFit = true
      if (rests(hive.id, device.id)) {
        whyNot("a load there failed a moment ago")
        continue
      }
      const there = hive.workers.filter((worker) => worker.device === device.id)
      const known = there.map(loaded).filter((worker) => worker !== undefined)
      const mayGo = known
        .filter(
          ({ draining, loadedAt, running, worker }) =>
            !draining &&
            isServing(worker) &&
            (rules.mayDrain || (rules.mayEvict && running === 0)) &&
            now - loadedAt >= limits.minResidency
        )
        .sort(
          (left, right) =>
            Number(left.running > 0) - Number(right.running > 0) ||
            evictionCost(left, now) - evictionCost(right, now)
        )
      const free = freeBytes(hive, device)
      const evict = whatMustGo(file.memoryBytes, free, mayGo)
      if (evict === undefined) {
        whyNot(`the model needs ${file.memoryBytes} bytes, ${free} are free, and not enough may go now`)
        continue
      }
      // Anything that has to go is worse than any device where nothing has to; then the device with the most room.
      const cost = evict.reduce((sum, worker) => {
        const victim = loaded(worker)
        return sum + 1 + (victim === undefined ? 0 : evictionCost(victim, now))
      }, 0)
      const score = (device.kind === "gpu" ? 0 : 1e9) + cost * 1e6 - Math.min(free / 1e9, 1e5)
      look?.({ where, score, evict: evict.map(keyOf) })
      if (best === undefined || score < best.score) {
        best = {
          score,
          decision: { _tag: "Place", hive: hive.id, device: device.id, memoryBytes: file.memoryBytes, evict }
        }
      }
    }
  }
  if (best !== undefined) return best.decision
  if (!hasFile) return { _tag: "Impossible", reason: "no hive that can be reached has the model's file" }
  if (!couldFit) return { _tag: "Impossible", reason: "it fits no device of the hives that have its file" }
  return { _tag: "Wait", reason: "no device has room for it now, and nothing may go yet" }
}
