import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import type { OperationError } from "../job/errors.ts"
import type { HandlersOf } from "../job/Handlers.ts"
import { Jobs } from "../job/Jobs.ts"
import { JobEvent } from "../job/log/JobEvent.ts"
import { withNarration } from "../job/withNarration.ts"
import { makeExplaining } from "./fleet/explain.ts"
import { HiveImport } from "./lifecycle/HiveImport.ts"
import { HiveLifecycle } from "./lifecycle/HiveLifecycle.ts"
import { hiveTargets } from "./lifecycle/hiveTargets.ts"
import { HiveCapabilities } from "./registry/HiveCapabilities.ts"
import type { KnownHive } from "./registry/HiveRecord.ts"
import { HiveRegistry } from "./registry/HiveRegistry.ts"
import { KnownModels } from "./registry/KnownModels.ts"
import { FleetView, type HiveSnapshot } from "./scheduler/FleetView.ts"
import { Installer } from "./ssh/Installer.ts"
import { Ssh } from "./ssh/Ssh.ts"

const actor = "qn-life"

const answer = <E extends OperationError>(result: Effect.Effect<Schema.Json, E>) =>
  Stream.fromEffect(Effect.map(result, JobEvent.result))

const shownWorker = (
  hive: string,
  { model_id, state, worker_id }: { worker_id: string; state: string; model_id?: string | null }
) => ({ hive, worker_id, state, ...(model_id === undefined || model_id === null ? {} : { model_id }) })

const gib = (bytes: number) => Math.round((bytes / 1024 ** 3) * 10) / 10

/** What a hive has now; of one that tells no inventory, the workers of its last heartbeat. */
const partOf = ({ record: { alias: hive }, workers: told }: KnownHive, stock: HiveSnapshot | undefined) => {
  if (stock === undefined || stock.away !== undefined) {
    return { devices: [], workers: told.map((worker) => shownWorker(hive, worker)) }
  }
  const { devices, workers } = stock.inventory
  return {
    devices: devices.map(({ free_bytes, id, name, total_bytes }) => ({
      hive,
      id,
      name,
      used_gb: gib(total_bytes - free_bytes),
      total_gb: gib(total_bytes)
    })),
    workers: workers.map((worker) => shownWorker(hive, worker))
  }
}

/** The models of the hives; of one that is away those that it had, with why it is away. */
const modelsOf = (hives: ReadonlyArray<KnownHive>, stocks: ReadonlyArray<HiveSnapshot>) => {
  const records = new Map(hives.map(({ record }) => [record.alias, record]))
  return stocks.flatMap(({ away, hive, inventory: { models } }) => {
    const record = records.get(hive)
    const why = record?.state === "active" ? away : (record?.reason ?? away ?? "it does not answer")
    return models.map(({ id, quantisation, size_bytes }) => ({
      hive,
      id,
      quantisation,
      size_bytes,
      ...(why === undefined ? {} : { away: why })
    }))
  })
}

/** The queen's own operations. */
export const queenHandlers = Effect.gen(function* () {
  const registry = yield* HiveRegistry
  const lifecycle = yield* HiveLifecycle
  const jobs = yield* Jobs
  const fleet = yield* FleetView
  const memory = yield* KnownModels
  const capabilities = yield* HiveCapabilities
  const hiveImport = yield* HiveImport
  const installer = yield* Installer
  const ssh = yield* Ssh
  const configured = yield* hiveTargets
  const explain = yield* makeExplaining

  // Hives that do not answer are found out before anything is said of them.
  const hivesNow = Effect.gen(function* () {
    const stocks = yield* fleet.snapshot(0)
    return { stocks, hives: yield* registry.list }
  })

  const status = Effect.gen(function* () {
    const { hives, stocks } = yield* hivesNow
    const parts = hives
      .filter(({ record, sameAs }) => record.state === "active" && sameAs === undefined)
      .map((hive) =>
        partOf(
          hive,
          stocks.find((stock) => stock.hive === hive.record.alias)
        )
      )
    const unfinished = (yield* jobs.list).filter(({ state }) => state === "queued" || state === "running")
    return {
      hives: hives.map(({ record }) => record),
      devices: parts.flatMap(({ devices }) => devices),
      workers: parts.flatMap(({ workers }) => workers),
      models: modelsOf(hives, stocks),
      jobs: unfinished
    }
  })

  const hiveStatus = Effect.fnUntraced(function* (alias: string) {
    const { peer, record } = yield* registry.find(alias)
    return { ...record, online: yield* lifecycle.isWell(peer) }
  })

  const handlers: HandlersOf<"queen"> = {
    status: () => answer(status),
    explain: (operation) => answer(explain(operation)),
    hive_list: () =>
      answer(Effect.map(hivesNow, ({ hives }) => ({ hives: hives.map(({ record }) => record) }))),
    hive_get: ({ alias }) =>
      answer(
        Effect.andThen(
          hivesNow,
          Effect.map(registry.find(alias), ({ record }) => record)
        )
      ),
    hive_status: ({ alias }) => answer(hiveStatus(alias)),
    hive_start: ({ alias }, job) => withNarration(job, actor, (narrate) => lifecycle.start(alias, narrate)),
    hive_stop: ({ alias }, job) => withNarration(job, actor, (narrate) => lifecycle.stop(alias, narrate)),
    hive_install: ({ alias }, job) =>
      withNarration(job, actor, (narrate) =>
        Effect.flatMap(configured(alias), ({ entry, target }) => installer.install(target, entry, narrate))
      ),
    hive_uninstall: ({ alias }, job) =>
      withNarration(job, actor, (narrate) =>
        Effect.gen(function* () {
          const { entry, target } = yield* configured(alias)
          const removed = yield* installer.uninstall(target, entry, narrate)
          registry.markStopped(alias)
          yield* memory.forget(alias)
          yield* capabilities.drop(alias)
          return removed
        })
      ),
    hive_refresh_capabilities: ({ alias }) =>
      answer(
        Effect.map(capabilities.refresh(alias), (devices) => ({
          alias,
          devices: devices.map((device) => ({ ...device }))
        }))
      ),
    ssh_test: ({ alias }, job) =>
      withNarration(job, actor, (narrate) =>
        Effect.gen(function* () {
          const { target } = yield* configured(alias)
          yield* narrate("ssh_test", `Trying ssh to '${alias}' (${target.user}@${target.hostName})`)
          const { millis, output } = yield* ssh.test(target)
          return { alias, state: "reachable", output, millis }
        })
      ),
    hive_import_ssh: ({ default_hive_port, ssh_config_path }, job) =>
      withNarration(job, actor, (narrate) =>
        hiveImport.run({ path: ssh_config_path, defaultHivePort: default_hive_port }, narrate)
      )
  }
  return handlers
})
