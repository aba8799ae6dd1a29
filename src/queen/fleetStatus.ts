import * as Effect from "effect/Effect"
import { Jobs } from "../job/Jobs.ts"
import type { KnownHive } from "./registry/HiveRecord.ts"
import { HiveRegistry } from "./registry/HiveRegistry.ts"
import { FleetView } from "./scheduler/FleetView.ts"
import type { HiveSnapshot } from "./scheduler/HiveSnapshot.ts"

const workerSummary = (
  hive: string,
  { model_id, state, worker_id }: { worker_id: string; state: string; model_id?: string | null }
) => ({ hive, worker_id, state, ...(model_id === undefined || model_id === null ? {} : { model_id }) })

const gib = (bytes: number) => Math.round((bytes / 1024 ** 3) * 10) / 10

/** Devices and workers of a hive; without an inventory, the workers of its last heartbeat. */
const hiveSummary = (
  { record: { alias: hive }, workers: reported }: KnownHive,
  snapshot: HiveSnapshot | undefined
) => {
  if (snapshot === undefined || snapshot.away !== undefined) {
    return { devices: [], workers: reported.map((worker) => workerSummary(hive, worker)) }
  }
  const { devices, workers } = snapshot.inventory
  return {
    devices: devices.map(({ free_bytes, id, name, total_bytes }) => ({
      hive,
      id,
      name,
      used_gb: gib(total_bytes - free_bytes),
      total_gb: gib(total_bytes)
    })),
    workers: workers.map((worker) => workerSummary(hive, worker))
  }
}

/** The models of all hives; `away` says why a model's hive is away. */
const modelSummaries = (hives: ReadonlyArray<KnownHive>, snapshots: ReadonlyArray<HiveSnapshot>) => {
  const records = new Map(hives.map(({ record }) => [record.alias, record]))
  return snapshots.flatMap(({ away, hive, inventory: { models } }) => {
    const record = records.get(hive)
    const reason = record?.state === "active" ? away : (record?.reason ?? away ?? "it does not answer")
    return models.map(({ id, quantisation, size_bytes }) => ({
      hive,
      id,
      quantisation,
      size_bytes,
      ...(reason === undefined ? {} : { away: reason })
    }))
  })
}

/** Counts the workers of an active hive by its inventory, which is newer than its last heartbeat. */
const withWorkerCount = (hive: KnownHive, snapshot: HiveSnapshot | undefined): KnownHive =>
  snapshot === undefined || snapshot.away !== undefined || hive.record.state !== "active"
    ? hive
    : { ...hive, record: { ...hive.record, workers: snapshot.inventory.workers.length } }

/** Hives with fresh inventories; requesting those reveals hives that do not answer. */
export const currentHives = Effect.gen(function* () {
  const fleet = yield* FleetView
  const registry = yield* HiveRegistry
  const snapshots = yield* fleet.snapshot(0)
  const byHive = new Map(snapshots.map((snapshot) => [snapshot.hive, snapshot]))
  const hives = (yield* registry.list).map((hive) => withWorkerCount(hive, byHive.get(hive.record.alias)))
  return { snapshots, hives }
})

/** The result of the `status` operation: hives, devices, workers, models and unfinished jobs. */
export const fleetStatus = Effect.gen(function* () {
  const jobs = yield* Jobs
  const { hives, snapshots } = yield* currentHives
  const summaries = hives
    .filter(({ record, sameAs }) => record.state === "active" && sameAs === undefined)
    .map((hive) =>
      hiveSummary(
        hive,
        snapshots.find((snapshot) => snapshot.hive === hive.record.alias)
      )
    )
  const problem = yield* jobs.storageProblem
  return {
    hives: hives.map(({ record }) => record),
    devices: summaries.flatMap(({ devices }) => devices),
    workers: summaries.flatMap(({ workers }) => workers),
    models: modelSummaries(hives, snapshots),
    jobs: yield* jobs.unfinished,
    ...(problem === undefined ? {} : { storage: { problem } })
  }
})
