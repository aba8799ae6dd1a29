import * as path from "node:path"
import { DatabaseSync } from "node:sqlite"
import { NodeServices } from "@effect/platform-node"
import { assert, describe, it } from "@effect/vitest"
import { Clock, Effect, Layer } from "effect"
import { durableJobs } from "../../src/job/durable/DurableJobs.ts"
import { Jobs } from "../../src/job/Jobs.ts"
import { Settings } from "../../src/settings/Settings.ts"
import { temporaryFolder } from "../support/rbee.ts"

const count = 1_000_000

const jobsIn = (folder: string) =>
  Jobs.layerNoDeps.pipe(
    Layer.provide(durableJobs(Effect.succeed(path.join(folder, "queen")))),
    Layer.provide([
      Settings.layerDefaults({
        limits: { jobsKept: count, jobsKeptFor: "300 days", jobsKeptBytes: Number.MAX_SAFE_INTEGER }
      }),
      NodeServices.layer
    ])
  )

/** Adds a million ended jobs to a store that no process has open. */
const fill = (folder: string, now: number) => {
  const db = new DatabaseSync(path.join(folder, "queen.db"))
  db.exec(`PRAGMA synchronous = OFF;
    WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ${count})
    INSERT INTO jobs SELECT i, 'job-' || i, 'infer', 'm', 'atlas', 'job-h', 'completed', ${now}, ${now}, ${now}, NULL, NULL,
      1 + i / 100000, 500 * (i % 100000), 500 FROM n`)
  db.close()
}

describe("a store of a million ended jobs", () => {
  it.live(
    "is opened in less than 2 s, with the newest jobs and one of the oldest at hand",
    () =>
      Effect.gen(function* () {
        const folder = yield* temporaryFolder
        yield* Effect.scoped(Layer.build(Layer.fresh(jobsIn(folder))))
        fill(folder, yield* Clock.currentTimeMillis)
        const before = yield* Clock.currentTimeMillis
        const context = yield* Layer.build(Layer.fresh(jobsIn(folder)))
        const openedIn = (yield* Clock.currentTimeMillis) - before
        assert.isBelow(openedIn, 2_000)
        yield* Effect.provideContext(
          Effect.gen(function* () {
            const list = yield* Jobs.use((jobs) => jobs.list)
            assert.strictEqual(list.length, 10_000)
            assert.strictEqual((yield* Jobs.use((jobs) => jobs.get("job-17"))).state, "completed")
          }),
          context
        )
      }).pipe(Effect.scoped),
    120_000
  )
})
