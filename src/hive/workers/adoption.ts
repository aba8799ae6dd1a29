import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Result from "effect/Result"
import type { Pids } from "../../system/Pids.ts"
import type { WorkerEntry } from "./WorkerEntry.ts"
import type { StoredWorker } from "./WorkerRecord.ts"
import type { WorkerStore } from "./WorkerStore.ts"
import type { WorkerSupervisor } from "./WorkerSupervisor.ts"

const adoptTimeout = "2 seconds"

const logOutcome = Effect.fnUntraced(function* (entry: WorkerEntry) {
  const outcome = yield* Effect.result(Effect.timeoutOption(Deferred.await(entry.run.ready), adoptTimeout))
  const isReady = Result.isSuccess(outcome) && Option.isSome(outcome.success)
  const { id: worker, model } = entry.spec
  yield* Effect.logInfo(isReady ? "adopted a worker" : "a worker of an earlier hive does not answer", {
    worker,
    model,
    pid: entry.process?.pid
  })
})

/** Takes over the workers that an earlier hive left running, and removes the records of the others. */
export const adoptWorkers = Effect.fnUntraced(function* (
  supervisor: WorkerSupervisor["Service"],
  store: WorkerStore["Service"],
  pids: Pids["Service"]
) {
  const adopt = Effect.fnUntraced(function* (stored: StoredWorker) {
    if (yield* pids.isAlive(stored.process)) return [yield* supervisor.begin(stored.spec, stored)]
    yield* store.remove(stored.spec.id)
    return []
  })
  // All or none: a hive that is stopped while it starts ends the workers that it has adopted.
  const adopted = yield* Effect.uninterruptible(
    Effect.flatMap(store.list, (stored) => Effect.forEach(stored, adopt, { concurrency: "unbounded" }))
  )
  yield* Effect.forEach(adopted.flat(), logOutcome, { concurrency: "unbounded", discard: true })
})
