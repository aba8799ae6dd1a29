import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import { AuditLog } from "../access/AuditLog.ts"
import type { OperationError } from "../job/errors.ts"
import type { HandlersOf } from "../job/Handlers.ts"
import type { Jobs } from "../job/Jobs.ts"
import { JobEvent } from "../job/log/JobEvent.ts"
import { type Narrate, withNarration } from "../job/withNarration.ts"
import { Explainer } from "./fleet/Explainer.ts"
import { currentHives, fleetStatus } from "./fleetStatus.ts"
import { HiveImport } from "./lifecycle/HiveImport.ts"
import { HiveLifecycle } from "./lifecycle/HiveLifecycle.ts"
import { HiveTargets } from "./lifecycle/HiveTargets.ts"
import { HiveCapabilities } from "./registry/HiveCapabilities.ts"
import { HiveRegistry } from "./registry/HiveRegistry.ts"
import { KnownModels } from "./registry/KnownModels.ts"
import type { FleetView } from "./scheduler/FleetView.ts"
import { Installer } from "./ssh/Installer.ts"
import { Ssh } from "./ssh/Ssh.ts"

const actor = "qn-life"

const answer = <E extends OperationError>(result: Effect.Effect<Schema.Json, E>) =>
  Stream.fromEffect(Effect.map(result, JobEvent.result))

/** The operations on other machines: install and uninstall rbee, test ssh. */
const makeRemoteOperations = Effect.gen(function* () {
  const registry = yield* HiveRegistry
  const knownModels = yield* KnownModels
  const capabilities = yield* HiveCapabilities
  const installer = yield* Installer
  const ssh = yield* Ssh
  const targets = yield* HiveTargets

  const install = Effect.fnUntraced(function* (alias: string, narrate: Narrate) {
    const { entry, target } = yield* targets.find(alias)
    return yield* installer.install(target, entry, narrate)
  })

  const uninstall = Effect.fnUntraced(function* (alias: string, narrate: Narrate) {
    const { entry, target } = yield* targets.find(alias)
    const removed = yield* installer.uninstall(target, entry, narrate)
    registry.markStopped(alias)
    yield* knownModels.forget(alias)
    yield* capabilities.drop(alias)
    return removed
  })

  const testSsh = Effect.fnUntraced(function* (alias: string, narrate: Narrate) {
    const { target } = yield* targets.find(alias)
    yield* narrate("ssh_test", `Testing ssh to '${alias}' (${target.user}@${target.hostName})`)
    const { millis, output } = yield* ssh.test(target)
    return { alias, state: "reachable", output, millis }
  })

  return { install, testSsh, uninstall }
})

/** The queen's own operations. */
export const queenHandlers = Effect.gen(function* () {
  const registry = yield* HiveRegistry
  const lifecycle = yield* HiveLifecycle
  const capabilities = yield* HiveCapabilities
  const hiveImport = yield* HiveImport
  const remote = yield* makeRemoteOperations
  const explainer = yield* Explainer
  const audit = yield* AuditLog
  const context = yield* Effect.context<FleetView | HiveRegistry | Jobs>()

  const hives = Effect.provideContext(currentHives, context)
  const status = Effect.provideContext(fleetStatus, context)

  const hiveStatus = Effect.fnUntraced(function* (alias: string) {
    const { peer, record } = yield* registry.find(alias)
    return { ...record, online: yield* lifecycle.isHealthy(peer) }
  })

  const handlers: HandlersOf<"queen"> = {
    status: () => answer(status),
    explain: (operation) => answer(explainer.explain(operation)),
    audit_list: (query) => answer(Effect.map(audit.list(query), (entries) => ({ entries }))),
    hive_list: () => answer(Effect.map(hives, ({ hives }) => ({ hives: hives.map(({ record }) => record) }))),
    hive_get: ({ alias }) =>
      answer(
        Effect.flatMap(hives, ({ hives }) => {
          const current = hives.find(({ record }) => record.alias === alias)
          return Effect.map(registry.find(alias), ({ record }) => current?.record ?? record)
        })
      ),
    hive_status: ({ alias }) => answer(hiveStatus(alias)),
    hive_start: ({ alias }, job, emit) =>
      withNarration(job, emit, actor, (narrate) => lifecycle.start(alias, narrate)),
    hive_stop: ({ alias }, job, emit) =>
      withNarration(job, emit, actor, (narrate) => lifecycle.stop(alias, narrate)),
    hive_install: ({ alias }, job, emit) =>
      withNarration(job, emit, actor, (narrate) => remote.install(alias, narrate)),
    hive_uninstall: ({ alias }, job, emit) =>
      withNarration(job, emit, actor, (narrate) => remote.uninstall(alias, narrate)),
    hive_refresh_capabilities: ({ alias }) =>
      answer(
        Effect.map(capabilities.refresh(alias), (devices) => ({
          alias,
          devices: devices.map((device) => ({ ...device }))
        }))
      ),
    ssh_test: ({ alias }, job, emit) =>
      withNarration(job, emit, actor, (narrate) => remote.testSsh(alias, narrate)),
    hive_import_ssh: ({ default_hive_port, ssh_config_path }, job, emit) =>
      withNarration(job, emit, actor, (narrate) =>
        hiveImport.run({ path: ssh_config_path, defaultHivePort: default_hive_port }, narrate)
      )
  }
  return handlers
})
