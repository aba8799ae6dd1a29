import { assert, describe, it } from "@effect/vitest"
import { contextOn, shapesOf } from "../../src/operation/WorkerShape.ts"
import { storedModel } from "../support/gateway.ts"

const usual = { contextSize: 8192, slots: 4, minContext: 2048, maxContext: 131_072 }
const inShort = (request: Parameters<typeof shapesOf>[0], like: typeof usual = usual) =>
  shapesOf(request, like).map(({ contextSize, slots }) => `${contextSize}x${slots}`)

describe("the sizes of a worker", () => {
  it("shrinks the context if memory is short, down to the limits of the prompt and the hive", () => {
    assert.deepStrictEqual(inShort({}), ["8192x4", "4096x4", "2048x4"])
    assert.deepStrictEqual(inShort({ minContext: 3000 }), ["8192x4", "4096x4", "3000x4"])
    assert.deepStrictEqual(inShort({ minContext: 8192 }), ["8192x4"])
    assert.deepStrictEqual(inShort({}, { ...usual, contextSize: 512, minContext: 512 }), ["512x4"])
    assert.deepStrictEqual(inShort({ slots: 2 }), ["8192x2", "4096x2", "2048x2"])
  })

  it("leaves room to grow for a long prompt, and reduces the slots before the context is too short", () => {
    assert.deepStrictEqual(inShort({ minContext: 9000 }), ["16384x4", "9000x4", "9000x2", "9000x1"])
    assert.deepStrictEqual(inShort({ minContext: 100_000 })[0], "131072x4")
    assert.deepStrictEqual(inShort({ minContext: 200_000, slots: 1 }), ["131072x1", "131072x1"])
  })

  it("uses an exact context length if the request has one", () => {
    assert.deepStrictEqual(inShort({ contextSize: 1000 }), ["1000x4"])
    assert.deepStrictEqual(inShort({ contextSize: 100_000, minContext: 5, slots: 1 }), ["100000x1"])
  })
})

describe("the context of a model on a hive", () => {
  const model = {
    ...storedModel("m"),
    memory_bytes: 40_000,
    worker_context: 8192,
    worker_min_context: 2048,
    worker_slots: 4,
    token_bytes: 1,
    context_length: 32_768
  }
  const device = (free_bytes: number, kind: "cpu" | "gpu" = "cpu", usable = true) => ({
    id: `${kind}-0`,
    name: kind,
    device_type: kind,
    total_bytes: 1e9,
    free_bytes,
    usable
  })
  const worker = (context_size: number, state: string, model_id = "m") => ({
    worker_id: `w-${context_size}`,
    state,
    model_id,
    engine: "llama",
    device: "cpu-0",
    slots: 4,
    busy: 0,
    context_size,
    memory_bytes: 1
  })
  const of = (
    devices: ReadonlyArray<ReturnType<typeof device>>,
    workers: ReadonlyArray<ReturnType<typeof worker>> = []
  ) => contextOn({ devices, workers }, model)

  it("is that of the worker that serves the model, else that of a worker started now", () => {
    assert.strictEqual(of([device(50_000)]), 8192)
    // 40,000 bytes with 32,768 tokens: 23,616 with half of them, 15,424 with a quarter.
    assert.strictEqual(of([device(30_000)]), 4096)
    assert.strictEqual(of([device(16_000)]), 2048)
    assert.strictEqual(of([device(50_000), device(16_000, "gpu")]), 2048)
    assert.strictEqual(of([device(50_000), device(16_000, "gpu", false)]), 8192)
    assert.strictEqual(of([device(1)]), 8192)
    assert.strictEqual(of([]), 8192)
    const workers = [worker(4096, "ready"), worker(16_384, "busy"), worker(32_768, "stopped")]
    assert.strictEqual(of([device(1)], workers), 16_384)
    assert.strictEqual(of([device(30_000)], [worker(32_768, "ready", "other")]), 4096)
  })
})
