import type { KnownHive } from "../registry/HiveRecord.ts"
import type { HiveSnapshot } from "../scheduler/HiveSnapshot.ts"

/** Ranks a GPU of any size above a CPU. */
const gpuWeight = 1e6

/** The size of a hive's largest usable device, weighted by its kind. */
const capacityOf = ({ inventory: { devices } }: HiveSnapshot) =>
  devices
    .filter(({ usable }) => usable)
    .reduce(
      (largest, { device_type, total_bytes }) =>
        Math.max(largest, total_bytes * (device_type === "gpu" ? gpuWeight : 1)),
      0
    )

/**
 * The hive for a model's file: one that has it, else the one with the largest device. The same hive as long as it answers,
 * so that a repeated download resumes there.
 */
export const hiveForFile = (
  snapshots: ReadonlyArray<HiveSnapshot>,
  model: string | undefined,
  avoided: ReadonlySet<string>
): string | undefined => {
  const present = snapshots.filter(({ away, hive }) => away === undefined && !avoided.has(hive))
  const holder = present.find(({ inventory }) => inventory.models.some(({ id }) => id === model))
  const [largest] = present.toSorted(
    (left, right) => capacityOf(right) - capacityOf(left) || (left.hive < right.hive ? -1 : 1)
  )
  return (holder ?? largest)?.hive
}

/** The hive with this worker. */
export const hiveOfWorker = (snapshots: ReadonlyArray<HiveSnapshot>, workerId: string): string | undefined =>
  snapshots.find(({ inventory }) => inventory.workers.some(({ worker_id }) => worker_id === workerId))?.hive

/**
 * An active hive without an inventory, which older hives do not report: one whose heartbeat lists a worker with the model,
 * else any.
 */
export const hiveWithoutInventory = (
  hives: ReadonlyArray<KnownHive>,
  snapshots: ReadonlyArray<HiveSnapshot>,
  model: string | undefined,
  avoided: ReadonlySet<string>
): string | undefined => {
  const reporting = new Set(snapshots.flatMap(({ away, hive }) => (away === undefined ? [hive] : [])))
  const candidates = hives.filter(
    ({ record: { alias, state } }) => state === "active" && !avoided.has(alias) && !reporting.has(alias)
  )
  const loaded = candidates.find(({ workers }) => workers.some(({ model_id }) => model_id === model))
  return (loaded ?? candidates[0])?.record.alias
}
