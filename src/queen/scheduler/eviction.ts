import type { WorkerUse } from "./decide.ts"
import { type DeviceView, type HiveView, isServing, type WorkerView } from "./Fleet.ts"

/** Which workers a placement may evict. */
export interface EvictionRules {
  /** Idle workers. */
  readonly mayEvict: boolean
  /** Busy workers too, after their requests have finished: a request is starving. */
  readonly mayDrain: boolean
}

const assumedBytesPerMs = 500_000

/** The cost of evicting a worker: the time to load it again, which counts less the longer it had no request. */
export const evictionCost = ({ usedAt, worker }: WorkerUse, now: number) =>
  worker.memoryBytes / assumedBytesPerMs / (1 + (now - usedAt) / 1000)

/** The first of the candidates that together with the free bytes make room; undefined when all of them do not. */
export const selectVictims = (needed: number, free: number, candidates: ReadonlyArray<WorkerUse>) => {
  let room = free
  const chosen: Array<WorkerUse> = []
  for (const candidate of candidates) {
    if (room >= needed) break
    chosen.push(candidate)
    room += candidate.worker.memoryBytes
  }
  if (room < needed) return undefined
  // A large victim may make the smaller ones chosen before it unnecessary.
  return chosen.filter(({ worker }) => {
    if (room - worker.memoryBytes < needed) return true
    room -= worker.memoryBytes
    return false
  })
}

/** The workers of a device that may be evicted, idle ones first, then by ascending cost. */
export const evictionCandidates = (
  { workers }: HiveView,
  device: DeviceView,
  useOf: (worker: WorkerView) => WorkerUse | undefined,
  { mayDrain, mayEvict }: EvictionRules,
  now: number,
  minResidency: number
): ReadonlyArray<WorkerUse> => {
  const candidates: Array<WorkerUse> = []
  if (!mayEvict && !mayDrain) return candidates
  for (const worker of workers) {
    if (worker.device !== device.id || !isServing(worker)) continue
    const use = useOf(worker)
    if (use === undefined || now - use.loadedAt < minResidency) continue
    if (use.running === 0 || mayDrain) candidates.push(use)
  }
  return candidates.sort(
    (left, right) =>
      Number(left.running > 0) - Number(right.running > 0) ||
      evictionCost(left, now) - evictionCost(right, now)
  )
}
