import { assert, describe, it } from "@effect/vitest"
import { hiveView, workerView } from "../../../src/queen/scheduler/hiveView.ts"
import { device, listedWorker, snapshot } from "../../support/fleetRuns.ts"
import { storedModel } from "../../support/gateway.ts"

describe("workerView", () => {
  it("has the facts of an inventory in the scheduler's terms, the device in lower case", () => {
    assert.deepStrictEqual(workerView("atlas", { ...listedWorker("w1"), device: "GPU-0" }), {
      hive: "atlas",
      id: "w1",
      model: "rbee:tiny",
      state: "ready",
      engine: "llama",
      device: "gpu-0",
      slots: 1,
      contextSize: 512,
      memoryBytes: 1,
      capabilities: undefined
    })
  })
})

describe("hiveView", () => {
  const models = [storedModel("rbee:tiny")]
  const revisionOf = (changes: object) =>
    hiveView(snapshot("atlas", { models: models.map((model) => ({ ...model, ...changes })) })).models[0]
      ?.revision

  it("has devices, engines and workers in the scheduler's terms", () => {
    const view = hiveView(
      snapshot(
        "atlas",
        {
          devices: [device("gpu", 16)],
          engines: [{ name: "llama", devices: ["GPU-0"] }],
          models,
          workers: [listedWorker("w1")]
        },
        "it does not answer"
      )
    )
    assert.deepStrictEqual(view.devices, [
      { id: "gpu-0", kind: "gpu", totalBytes: 16, freeBytes: 16, usable: true }
    ])
    assert.deepStrictEqual(view.engineDevices, new Map([["llama", ["gpu-0"]]]))
    assert.deepStrictEqual([view.id, view.away, view.workers[0]?.id], ["atlas", "it does not answer", "w1"])
    assert.isUndefined(hiveView(snapshot("atlas")).engineDevices)
  })

  it("gives a model's file another revision when it is replaced", () => {
    assert.strictEqual(revisionOf({}), revisionOf({ parameters: 5 }))
    for (const changes of [{ size_bytes: 1 }, { sha256: "cd" }, { downloaded_at: "2027-01-01T00:00:00Z" }]) {
      assert.notStrictEqual(revisionOf(changes), revisionOf({}), JSON.stringify(changes))
    }
  })
})
