import { createRequire } from "node:module"
import { assert, describe, it } from "@effect/vitest"

describe("the parser of chat templates", () => {
  it("is the same package for the worker, which renders them, and the hive, which checks them", () => {
    const { resolve } = createRequire(import.meta.url)
    const byEngine = createRequire(resolve("node-llama-cpp")).resolve("@huggingface/jinja")
    assert.strictEqual(byEngine, resolve("@huggingface/jinja"))
  })
})
