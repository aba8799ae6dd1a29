import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import type { OperationError } from "../job/errors.ts"
import type { HandlersOf } from "../job/Handlers.ts"
import { JobEvent } from "../job/JobEvent.ts"
import { Jobs } from "../job/Jobs.ts"
import { JobsClient } from "../job/JobsClient.ts"
import { narrated } from "../job/narrated.ts"
import { HiveInventory } from "../operation/Inventory.ts"
import { makeExplaining } from "./explaining.ts"
import { HiveCapabilities } from "./HiveCapabilities.ts"
import { HiveImport } from "./HiveImport.ts"
import { HiveLifecycle } from "./HiveLifecycle.ts"
import { HiveRegistry, type KnownHive } from "./HiveRegistry.ts"
import { hiveTargets } from "./hiveTargets.ts"
import { Installer } from "./ssh/Installer.ts"
import { Ssh } from "./ssh/Ssh.ts"

const actor = "qn-life"

const answer = <E extends OperationError>(result: Effect.Effect<Schema.Json, E>) =>
  Stream.fromEffect(Effect.map(result, JobEvent.result))

const askWithin = "2 seconds"

const shownWorker = (
  hive: string,
  { model_id, state, worker_id }: { worker_id: string; state: string; model_id?: string }
) => ({ hive, worker_id, state, ...(model_id === undefined ? {} : { model_id }) })

const gib = (bytes: number) => Math.round((bytes / 1024 ** 3) * 10) / 10

/** The queen's own operations. */
export const queenHandlers = Effect.gen(function* () {
  const registry = yield* HiveRegistry
  const lifecycle = yield* HiveLifecycle
  const jobs = yield* Jobs
  const client = yield* JobsClient
  const capabilities = yield* HiveCapabilities
  const hiveImport = yield* HiveImport
  const installer = yield* Installer
  const ssh = yield* Ssh
  const configured = yield* hiveTargets
  const explain = yield* makeExplaining

  // What a hive says now; of one that does not answer, what it told last.
  const inventory = ({ peer, record, workers: told }: KnownHive) =>
    client.get(peer, "/v1/inventory", HiveInventory).pipe(
      Effect.timeout(askWithin),
      Effect.map(({ devices, models, workers }) => ({
        devices: devices.map(({ free_bytes, id, name, total_bytes }) => ({
          hive: record.alias,
          id,
          name,
          used_gb: gib(total_bytes - free_bytes),
          total_gb: gib(total_bytes)
        })),
        models: models.map(({ id, quantisation, size_bytes }) => ({
          hive: record.alias,
          id,
          quantisation,
          size_bytes
        })),
        workers: workers.map((worker) => shownWorker(record.alias, worker))
      })),
      Effect.orElseSucceed(() => ({
        devices: [],
        models: [],
        workers: told.map((worker) => shownWorker(record.alias, worker))
      }))
    )

  const status = Effect.gen(function* () {
    const hives = yield* registry.list
    const active = hives.filter(({ record }) => record.state === "active")
    const inventories = yield* Effect.forEach(active, inventory, { concurrency: 16 })
    const unfinished = (yield* jobs.list).filter(({ state }) => state === "queued" || state === "running")
    return {
      hives: hives.map(({ record }) => record),
      devices: inventories.flatMap(({ devices }) => devices),
      workers: inventories.flatMap(({ workers }) => workers),
      models: inventories.flatMap(({ models }) => models),
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
      answer(Effect.map(registry.list, (hives) => ({ hives: hives.map(({ record }) => record) }))),
    hive_get: ({ alias }) => answer(Effect.map(registry.find(alias), ({ record }) => record)),
    hive_status: ({ alias }) => answer(hiveStatus(alias)),
    hive_start: ({ alias }, job) => narrated(job, actor, (say) => lifecycle.start(alias, say)),
    hive_stop: ({ alias }, job) => narrated(job, actor, (say) => lifecycle.stop(alias, say)),
    hive_install: ({ alias }, job) =>
      narrated(job, actor, (say) =>
        Effect.flatMap(configured(alias), ({ entry, target }) => installer.install(target, entry, say))
      ),
    hive_uninstall: ({ alias }, job) =>
      narrated(job, actor, (say) =>
        Effect.gen(function* () {
          const { entry, target } = yield* configured(alias)
          const removed = yield* installer.uninstall(target, entry, say)
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
      narrated(job, actor, (say) =>
        Effect.gen(function* () {
          const { target } = yield* configured(alias)
          yield* say("ssh_test", `Trying ssh to '${alias}' (${target.user}@${target.hostName})`)
          const { millis, output } = yield* ssh.test(target)
          return { alias, state: "reachable", output, millis }
        })
      ),
    hive_import_ssh: ({ default_hive_port, ssh_config_path }, job) =>
      narrated(job, actor, (say) =>
        hiveImport.run({ path: ssh_config_path, defaultHivePort: default_hive_port }, say)
      )
  }
  return handlers
})
