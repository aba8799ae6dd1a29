import { appendFileSync, mkdirSync, readFileSync, statSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { NodeServices } from "@effect/platform-node"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Layer } from "effect"
import { TestClock } from "effect/testing"
import { AuditLog } from "../../src/access/AuditLog.ts"
import { Paths } from "../../src/settings/Paths.ts"
import { temporaryFolder } from "../support/rbee.ts"

const entry = (operation: string, job_id = operation) => ({
  caller: "key 1a2b3c4d",
  address: "127.0.0.1",
  operation,
  job_id,
  request: { operation }
})

const logIn = (folder: string) =>
  Effect.map(
    Layer.build(
      AuditLog.layer("queen").pipe(Layer.provide(Layer.merge(Paths.layerAt(folder), NodeServices.layer)))
    ),
    (services) => Effect.runSync(Effect.provide(AuditLog, services))
  )

const namesOf = (log: AuditLog["Service"], query: { since?: string; limit?: number } = {}) =>
  Effect.map(log.list({ limit: 100, ...query }), (entries) => entries.map(({ operation }) => operation))

describe("AuditLog", () => {
  it.effect("keeps entries in a file that only its owner can read, for the next process too", () =>
    Effect.gen(function* () {
      const folder = yield* temporaryFolder
      const log = yield* logIn(folder)
      assert.deepStrictEqual(yield* namesOf(log), [])
      yield* log.begin(entry("hive_start"))
      yield* TestClock.adjust("1 hour")
      yield* log.begin(entry("hive_stop"))
      const other = yield* logIn(folder)
      yield* other.begin(entry("worker_delete"))
      assert.deepStrictEqual(yield* namesOf(log), ["hive_start", "hive_stop", "worker_delete"])
      assert.deepStrictEqual(yield* namesOf(log, { limit: 1 }), ["worker_delete"])
      assert.deepStrictEqual(yield* namesOf(log, { since: "1970-01-01T00:30:00Z" }), [
        "hive_stop",
        "worker_delete"
      ])
      assert.strictEqual(statSync(join(folder, "state", "audit.jsonl")).mode & 0o777, 0o600)
    })
  )

  it.effect("gives an entry the outcome of its job once that has ended", () =>
    Effect.gen(function* () {
      const log = yield* logIn(yield* temporaryFolder)
      yield* log.begin(entry("hive_start", "job-1"))
      yield* log.begin(entry("hive_stop", "job-2"))
      yield* log.end("job-1", "done")
      yield* log.end("job-3", "done")
      const entries = yield* log.list({ limit: 10 })
      assert.deepStrictEqual(
        entries.map(({ daemon, outcome }) => [daemon, outcome]),
        [
          ["queen", "done"],
          ["queen", undefined]
        ]
      )
    })
  )

  it.effect("skips lines that a crash or another program has broken", () =>
    Effect.gen(function* () {
      const folder = yield* temporaryFolder
      const log = yield* logIn(folder)
      yield* log.begin(entry("hive_start"))
      const file = join(folder, "state", "audit.jsonl")
      appendFileSync(file, '{"time":"2026\n[]\nnull\n')
      yield* log.begin(entry("hive_stop"))
      assert.deepStrictEqual(yield* namesOf(log), ["hive_start", "hive_stop"])
    })
  )

  it.effect("keeps the entries of one full file besides the current one", () =>
    Effect.gen(function* () {
      const folder = yield* temporaryFolder
      const log = yield* logIn(folder)
      yield* log.begin(entry("hive_start"))
      const file = join(folder, "state", "audit.jsonl")
      const line = readFileSync(file, "utf8")
      writeFileSync(file, `${line}${"x".repeat(16_000_000)}\n`)
      yield* log.begin(entry("hive_stop"))
      assert.isBelow(statSync(file).size, 1000)
      assert.deepStrictEqual(yield* namesOf(log), ["hive_start", "hive_stop"])
    })
  )

  it.effect("lets an operation run when its file cannot be written", () =>
    Effect.gen(function* () {
      const folder = yield* temporaryFolder
      mkdirSync(join(folder, "state", "audit.jsonl"), { recursive: true })
      const log = yield* logIn(folder)
      yield* log.begin(entry("hive_start"))
      assert.deepStrictEqual(yield* namesOf(log), [])
    })
  )
})
