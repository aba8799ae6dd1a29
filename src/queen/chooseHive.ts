import type { KnownHive } from "./HiveRegistry.ts"

/** A hive with the number of its jobs that run now. */
export interface Candidate {
  readonly hive: KnownHive
  readonly running: number
}

const hasLoaded = (hive: KnownHive, model: string) =>
  hive.workers.some(
    (worker) => worker.model_id === model && worker.state !== "failed" && worker.state !== "stopped"
  )

/**
 * Chooses a hive for `hive_id: "auto"`: one that has the model loaded, else the only one, else the least busy. Hives
 * that sent a heartbeat lately go before the others.
 */
export const chooseHive = (candidates: ReadonlyArray<Candidate>, model: string | undefined) => {
  const active = candidates.filter(({ hive }) => hive.record.state === "active")
  const reachable = active.length > 0 ? active : candidates
  const loaded = model === undefined ? [] : reachable.filter(({ hive }) => hasLoaded(hive, model))
  const pool = loaded.length > 0 ? loaded : reachable
  const [first, ...others] = pool
  if (first === undefined) return undefined
  return others.reduce((best, other) => (other.running < best.running ? other : best), first).hive
}
