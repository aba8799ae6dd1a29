import { assert, describe, it } from "@effect/vitest"
import { modelRequirements } from "../../../src/queen/fleet/modelRequirements.ts"
import {
  generationRequirements,
  requestedDevice,
  spawnRequirements
} from "../../../src/queen/fleet/operationRequirements.ts"
import { servedModel } from "../../support/fleetRuns.ts"

const model = servedModel()
const onGpu = { ...model, alias: { model: model.id, device: "gpu-3", context_size: 256, parallel: 2 } }

describe("requestedDevice", () => {
  it("is the device that worker names, by id or by kind and index", () => {
    const cases = [
      [{ worker: "gpu-1" }, "gpu-1"],
      [{ worker: "CPU-0" }, "cpu-0"],
      [{ worker: "gpu-1", device: 2 }, "gpu-1"],
      [{ worker: "cpu", device: 2 }, "cpu-0"],
      [{ worker: "cuda" }, "gpu-0"],
      [{ worker: "Metal", device: 1 }, "gpu-1"]
    ] as const
    for (const [fields, id] of cases) assert.strictEqual(requestedDevice(fields), id, JSON.stringify(fields))
  })

  it("is an index of either kind if only device is set, and undefined if the hive chooses", () => {
    assert.strictEqual(requestedDevice({ device: 1 }), "1")
    assert.strictEqual(requestedDevice({ worker: "auto", device: 0 }), "0")
    for (const fields of [{}, { worker: "auto" }, { worker: "vllm" }, { worker: null, device: "cpu" }]) {
      assert.isUndefined(requestedDevice(fields), JSON.stringify(fields))
    }
  })
})

describe("generationRequirements", () => {
  it("estimate the size of infer by its prompt, and of complete by its body", () => {
    assert.deepStrictEqual(
      generationRequirements(model, { prompt: "Once", max_tokens: 8 }),
      modelRequirements(model, "Once", { max_tokens: 8 })
    )
    const body = { messages: [{ role: "user", content: "Hi" }], max_tokens: 3 }
    assert.deepStrictEqual(
      generationRequirements(model, { body, max_tokens: 8 }),
      modelRequirements(model, JSON.stringify(body), body)
    )
  })

  it("take the device of the request, which may be a kind, before that of the alias", () => {
    assert.strictEqual(generationRequirements(onGpu, { device: "cpu" }).device, "cpu-0")
    assert.strictEqual(generationRequirements(onGpu, { device: "gpu-1" }).device, "gpu-1")
    assert.strictEqual(generationRequirements(onGpu, { device: 1 }).device, "1")
    assert.strictEqual(generationRequirements(onGpu, { prompt: "a" }).device, "gpu-3")
  })
})

describe("spawnRequirements", () => {
  it("are those of the request alone: an alias decides for requests, and not for a worker started by name", () => {
    const { contextSize, device, parallel } = spawnRequirements(onGpu, {
      worker: "cuda",
      ctx_size: 1024,
      parallel: 4
    })
    assert.deepStrictEqual(
      { contextSize, device, parallel },
      { contextSize: 1024, device: "gpu-0", parallel: 4 }
    )
    const unset = spawnRequirements(onGpu, { worker: "auto", ctx_size: null })
    assert.deepStrictEqual(
      [unset.contextSize, unset.device, unset.parallel],
      [undefined, undefined, undefined]
    )
  })
})
