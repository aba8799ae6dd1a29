import * as Effect from "effect/Effect"
import type * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import type { OperationError } from "../job/errors.ts"
import type { HandlersOf } from "../job/Handlers.ts"
import { JobEvent } from "../job/JobEvent.ts"
import { Jobs } from "../job/Jobs.ts"
import { narrated } from "../job/narrated.ts"
import { NotSupported } from "../operation/errors.ts"
import { HiveLifecycle } from "./HiveLifecycle.ts"
import { HiveRegistry } from "./HiveRegistry.ts"

const actor = "qn-life"

const answer = <E extends OperationError>(result: Effect.Effect<Schema.Json, E>) =>
  Stream.fromEffect(Effect.map(result, JobEvent.result))

const notSupported = (operation: string, instead: string) => () =>
  Stream.fail(new NotSupported({ operation, instead }))

/** The queen's own operations. */
export const queenHandlers = Effect.gen(function* () {
  const registry = yield* HiveRegistry
  const lifecycle = yield* HiveLifecycle
  const jobs = yield* Jobs

  const status = Effect.gen(function* () {
    const hives = yield* registry.list
    const unfinished = (yield* jobs.list).filter(({ state }) => state === "queued" || state === "running")
    return {
      hives: hives.map(({ record }) => record),
      workers: hives.flatMap(({ record, workers }) =>
        workers.map((worker) => ({ hive: record.alias, ...worker }))
      ),
      jobs: unfinished
    }
  })

  const hiveStatus = Effect.fnUntraced(function* (alias: string) {
    const { peer, record } = yield* registry.find(alias)
    return { ...record, online: yield* lifecycle.isWell(peer) }
  })

  const handlers: HandlersOf<"queen"> = {
    status: () => answer(status),
    hive_list: () =>
      answer(Effect.map(registry.list, (hives) => ({ hives: hives.map(({ record }) => record) }))),
    hive_get: ({ alias }) => answer(Effect.map(registry.find(alias), ({ record }) => record)),
    hive_status: ({ alias }) => answer(hiveStatus(alias)),
    hive_start: ({ alias }, job) => narrated(job, actor, (say) => lifecycle.start(alias, say)),
    hive_stop: ({ alias }, job) => narrated(job, actor, (say) => lifecycle.stop(alias, say)),
    hive_install: notSupported(
      "hive_install",
      "install rbee on that machine with npm and run 'rbee hive serve' there"
    ),
    hive_uninstall: notSupported("hive_uninstall", "remove rbee on that machine by hand"),
    hive_refresh_capabilities: notSupported(
      "hive_refresh_capabilities",
      "ask the hive itself: GET /v1/capabilities"
    ),
    ssh_test: notSupported("ssh_test", "try 'ssh <alias> true'"),
    hive_import_ssh: notSupported("hive_import_ssh", "write the hives into hives.conf")
  }
  return handlers
})
