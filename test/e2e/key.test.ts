import { readFileSync, statSync } from "node:fs"
import { join } from "node:path"
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { rbee, temporaryFolder } from "../support/rbee.ts"

describe("rbee key", () => {
  it.live(
    "creates a key that is shown once and stored as a hash, lists it with its limits, and revokes it",
    () =>
      Effect.gen(function* () {
        const home = yield* temporaryFolder
        const made = yield* rbee(home, ["key", "create", "app", "--concurrency", "2", "--model", "fast"])
        assert.strictEqual(made.code, 0, made.stderr)
        const key = made.stdout.trim()
        assert.match(key, /^rbee-[A-Za-z0-9_-]{43}$/)
        assert.include(made.stderr, "shown only once")
        const kept = join(home, "config", "keys.json")
        assert.notInclude(readFileSync(kept, "utf8"), key)
        assert.strictEqual(statSync(kept).mode & 0o777, 0o600)

        const listed = yield* rbee(home, ["key", "list", "--json"])
        const [app] = JSON.parse(listed.stdout).keys
        assert.deepInclude(app, { name: "app", concurrency: 2, models: ["fast"], priority: 0 })
        assert.notProperty(app, "sha256")

        const again = yield* rbee(home, ["key", "create", "app"])
        assert.deepStrictEqual([again.code, again.stdout], [1, ""])
        assert.include(again.stderr, "API key 'app' already exists")
        assert.strictEqual((yield* rbee(home, ["key", "create", "other", "--concurrency", "0"])).code, 2)

        assert.strictEqual((yield* rbee(home, ["key", "create", "second"])).code, 0)
        const revoked = yield* rbee(home, ["key", "revoke", "second"])
        assert.deepStrictEqual([revoked.code, revoked.stderr], [0, ""])
        const last = yield* rbee(home, ["key", "revoke", "app"])
        assert.strictEqual(last.code, 0)
        assert.include(last.stderr, "this was the last key; unless the queen has a token")
        const gone = yield* rbee(home, ["key", "revoke", "app"])
        assert.strictEqual(gone.code, 1)
        assert.include(gone.stderr, "API key 'app' not found")
      })
  )
})

describe("rbee explain", () => {
  it.live("requires a job, or --dry-run with a model", () =>
    Effect.gen(function* () {
      const home = yield* temporaryFolder
      for (const args of [[], ["--dry-run"], ["--model", "m"], ["job-x", "--dry-run", "--model", "m"]]) {
        const { code, stderr } = yield* rbee(home, ["explain", ...args])
        assert.strictEqual(code, 2)
        assert.include(stderr, "--dry-run with --model")
      }
    })
  )
})
