import { assert, describe, it } from "@effect/vitest"
import { Schema } from "effect"
import { next, type WorkerEvent } from "../../../src/hive/workers/workerStates.ts"

const events = ["answered", "crashed", "gave_up", "stop", "ended", "start"] as const

const after = (...happened: ReadonlyArray<WorkerEvent>) =>
  happened.reduce<ReturnType<typeof next>>(next, "starting")

describe("the states of a worker", () => {
  it("follow the events from start to end", () => {
    assert.strictEqual(after("answered"), "ready")
    assert.strictEqual(after("answered", "crashed"), "starting")
    assert.strictEqual(after("answered", "crashed", "gave_up"), "failed")
    assert.strictEqual(after("answered", "stop"), "draining")
    assert.strictEqual(after("answered", "stop", "ended"), "stopped")
    assert.strictEqual(after("stop", "ended", "start"), "starting")
    assert.strictEqual(after("gave_up", "stop", "ended", "start", "answered"), "ready")
  })

  it.prop(
    "never leave draining but by an end, nor failed but by somebody's wish",
    [Schema.Array(Schema.Literals(events))],
    ([happened]) => {
      let state = after()
      for (const event of happened) {
        const before = state
        state = next(state, event)
        if (before === "draining" && state !== before) assert.strictEqual(event, "ended")
        if (before === "failed" && state !== before) assert.strictEqual(event, "stop")
        if (state === "ready" && before !== "ready") assert.strictEqual(event, "answered")
      }
    }
  )
})
