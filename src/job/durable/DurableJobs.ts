import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Latch from "effect/Latch"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as SqlClient from "effect/sql/SqlClient"
import { Settings } from "../../settings/Settings.ts"
import { Archive } from "../../store/Archive.ts"
import { makeJobRows } from "../../store/JobRows.ts"
import { Journal } from "../../store/Journal.ts"
import { makeKeyRows } from "../../store/KeyRows.ts"
import { openDatabase } from "../../store/openDatabase.ts"
import { JobStore } from "../JobStore.ts"
import { JobLogs } from "../log/JobLogs.ts"
import { Checkpoint } from "./Checkpoint.ts"
import { archiveOf, factsOf } from "./jobRow.ts"
import { LiveJobs } from "./LiveJobs.ts"
import { logOfRecord } from "./logOfRecord.ts"
import { recoverJournal } from "./recoverJournal.ts"
import { restoreJobs } from "./restoreJobs.ts"
import { Retention } from "./Retention.ts"
import { StoreHealth } from "./StoreHealth.ts"

const checkpointInterval = Duration.millis(200)
const retryInterval = Duration.seconds(2)
const sweepInterval = Duration.minutes(1)

/** Stores changes soon after they happen, until the scope closes; then everything that is left. */
const keepStoring = Effect.fnUntraced(function* (store: {
  readonly archive: Archive
  readonly checkpoint: Checkpoint
  readonly health: StoreHealth
  readonly isDirty: Latch.Latch
  readonly journal: Journal
}) {
  const { archive, checkpoint, health, isDirty, journal } = store
  const close = Effect.sync(() => {
    journal.close()
    archive.close()
  })
  yield* Effect.addFinalizer(() => Effect.andThen(checkpoint.run(), close))
  yield* checkpoint.dropKeys
  yield* checkpoint.run()
  const storeNext = Effect.gen(function* () {
    yield* isDirty.await
    yield* Effect.sleep(checkpointInterval)
    yield* isDirty.close
    if (!(yield* checkpoint.run())) return
    if (health.problem !== undefined) yield* Effect.sleep(retryInterval)
    yield* isDirty.open
  })
  const sweep = Effect.andThen(checkpoint.dropKeys, isDirty.open)
  yield* Effect.forkScoped(Effect.forever(storeNext))
  yield* Effect.forkScoped(Effect.forever(Effect.delay(sweep, sweepInterval)))
})

/** Opens the store `<base>.db` with its folder `<base>.events`, and restores its unfinished jobs. */
const openStore = Effect.fnUntraced(function* (base: string, sync: "full" | "process") {
  const { limits, storage } = yield* Settings
  const clock = yield* Clock.Clock
  const folder = `${base}.events`
  const sql = yield* openDatabase(`${base}.db`, sync)
  const withSql = Effect.provideService(SqlClient.SqlClient, sql)
  const rows = yield* withSql(makeJobRows)
  const keys = yield* withSql(makeKeyRows)
  const recovered = yield* recoverJournal(folder)
  const health = new StoreHealth(folder)
  const isDirty = yield* Latch.make(false)
  const journal = new Journal(
    {
      folder,
      sync,
      onFailure: (error) => {
        health.failed(error)
        isDirty.openUnsafe()
      }
    },
    recovered.oldest,
    recovered.last
  )
  const archive = new Archive(folder, sync)
  const lastSeq = Math.max(recovered.lastSeq, yield* rows.lastSeq)
  const live = new LiveJobs(journal, lastSeq, () => isDirty.openUnsafe())
  const restored = yield* restoreJobs({ rows, recovered: recovered.jobs, live, logBytes: limits.logBytes })
  const retention = new Retention({
    clock,
    limits: { ...limits, keysKeptFor: storage.keysKeptFor },
    rows,
    keys,
    archive,
    archived: yield* rows.archived
  })
  const checkpoint = new Checkpoint({ sql, rows, keys, archive, journal, live, retention, health })

  yield* keepStoring({ archive, checkpoint, health, isDirty, journal })
  return { archive, health, journal, keys, live, restored, rows }
})

type OpenStore = Effect.Success<ReturnType<typeof openStore>>

/** What a failed read of the store counts as. */
const orElse = <A, E>(effect: Effect.Effect<A, E>, fallback: A) =>
  Effect.catch(effect, (error) =>
    Effect.as(Effect.logWarning("the store cannot be read", { reason: String(error) }), fallback)
  )

const jobStore = ({ archive, health, journal, keys, live, restored, rows }: OpenStore) =>
  JobStore.of({
    save: (facts, key) => live.save(facts, key),
    written: Effect.callback<void>((resume) => journal.afterWrite(() => resume(Effect.void))),
    hasStored: (id) => !live.has(id) || health.problem !== undefined,
    forget: (id) => live.remove(id),
    restored,
    find: (id) =>
      orElse(
        Effect.map(rows.find(id), (row) => Option.getOrUndefined(Option.map(row, factsOf))),
        undefined
      ),
    findKey: (key) =>
      orElse(
        Effect.map(keys.find(key), (row) =>
          Option.getOrUndefined(Option.map(row, ({ digest, job_id: jobId }) => ({ key, jobId, digest })))
        ),
        undefined
      ),
    ended: (limit) =>
      orElse(
        Effect.map(rows.newest(limit), (list) => list.map(factsOf)),
        []
      ),
    readLog: Effect.fnUntraced(function* (facts) {
      const row = yield* orElse(rows.find(facts.id), Option.none())
      const position = Option.isSome(row) ? archiveOf(row.value) : undefined
      const bytes = position === undefined ? undefined : yield* Effect.promise(() => archive.read(position))
      return logOfRecord(facts, bytes)
    }),
    isDurable: true,
    problem: () => health.problem
  })

const memory = Layer.merge(JobStore.layerMemory, JobLogs.layerMemory)

const durable = Effect.fnUntraced(function* (base: string, sync: "full" | "process") {
  const store = yield* openStore(base, sync)
  const logs = JobLogs.of({
    make: (jobId, limitBytes) => Effect.sync(() => store.live.add(jobId, limitBytes).log)
  })
  return Context.make(JobStore, jobStore(store)).pipe(Context.add(JobLogs, logs))
})

/** Jobs that are kept in memory, and the reason for that. */
const inMemory = (reason: string) =>
  Effect.map(Layer.build(memory), (context) =>
    Context.add(context, JobStore, { ...Context.get(context, JobStore), problem: () => reason })
  )

/**
 * Keeps the jobs of a daemon in `<base>.db` and the folder `<base>.events`, as `storage.sync` says. If the store cannot be
 * opened, a warning is logged and jobs live as long as the process.
 */
export const durableJobs = <E, R>(base: Effect.Effect<string, E, R>) =>
  Layer.unwrap(
    Effect.gen(function* () {
      const { sync } = (yield* Settings).storage
      if (sync === "off") return memory
      return Layer.effectContext(
        Effect.catch(durable(yield* base, sync), (error) =>
          Effect.andThen(
            Effect.logWarning("the store cannot be opened; jobs are kept in memory", {
              reason: error.message
            }),
            inMemory(error.message)
          )
        )
      )
    })
  )
