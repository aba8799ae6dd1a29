import { assert, describe, it } from "@effect/vitest"
import { RestartPolicy } from "../../../src/hive/workers/RestartPolicy.ts"

describe("RestartPolicy", () => {
  it("allows three restarts in a row with growing delays", () => {
    const policy = new RestartPolicy()
    assert.deepStrictEqual(
      [0, 0, 0, 0].map((uptime) => policy.nextDelay(uptime)),
      [500, 1000, 2000, undefined]
    )
    assert.strictEqual(policy.crashes, 4)
  })

  it("starts the count again after a process that was ready for over a minute", () => {
    const policy = new RestartPolicy()
    policy.nextDelay(0)
    policy.nextDelay(60_000)
    assert.strictEqual(policy.crashes, 2)
    assert.strictEqual(policy.nextDelay(60_001), 500)
    assert.strictEqual(policy.crashes, 1)
  })
})
