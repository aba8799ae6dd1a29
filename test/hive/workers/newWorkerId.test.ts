import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { newWorkerId, workerName } from "../../../src/hive/workers/newWorkerId.ts"

describe("the id of a worker", () => {
  it("begins with the last part of the model's id", () => {
    const names = [
      ["hf:org/Some-Model:Q4_K_M", "q4-k-m"],
      ["file:/models/My Model (1).GGUF", "my-model-1-"],
      ["rbee:tiny", "tiny"],
      ["__", "model"],
      ["x".repeat(50), "x".repeat(32)]
    ] as const
    for (const [model, name] of names) assert.strictEqual(workerName(model), name)
  })

  it.effect("ends with six hexadecimal digits", () =>
    Effect.map(newWorkerId("rbee:tiny"), (id) => assert.match(id, /^tiny-[0-9a-f]{6}$/))
  )
})
