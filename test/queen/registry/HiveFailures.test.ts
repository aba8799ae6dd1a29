import { assert, describe, it } from "@effect/vitest"
import { HiveFailures } from "../../../src/queen/registry/HiveFailures.ts"

const unreachable = { state: "unreachable", reason: "connection refused" } as const
const stopped = { state: "stopped", reason: "stopped by this queen" } as const

describe("HiveFailures", () => {
  it("keeps the first change and the latest reason of a failed hive", () => {
    const failures = new HiveFailures()
    failures.fail("atlas", unreachable)
    failures.fail("atlas", { ...unreachable, reason: "timeout" })
    assert.strictEqual(failures.changes, 1)
    assert.strictEqual(failures.get("atlas")?.reason, "timeout")
    failures.recover("atlas")
    failures.recover("atlas")
    assert.strictEqual(failures.changes, 2)
    assert.isFalse(failures.has("atlas"))
  })

  it("keeps a stopped hive stopped when it does not answer", () => {
    const failures = new HiveFailures()
    failures.fail("atlas", stopped)
    failures.fail("atlas", unreachable)
    assert.deepStrictEqual(failures.get("atlas"), stopped)
  })

  it("calls each watcher once with the reason, unless it has unsubscribed", () => {
    const failures = new HiveFailures()
    const calls: Array<string> = []
    const watch = (name: string) => failures.onFailure("atlas", (reason) => calls.push(`${name}: ${reason}`))
    watch("first")
    watch("second")()
    failures.fail("atlas", unreachable)
    failures.fail("atlas", unreachable)
    watch("late")
    assert.deepStrictEqual(calls, ["first: connection refused", "late: connection refused"])
  })
})
