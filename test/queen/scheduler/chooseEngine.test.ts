import { assert, describe, it } from "@effect/vitest"
import { onlyCapabilities } from "../../../src/operation/Capabilities.ts"
import { chooseEngine } from "../../../src/queen/scheduler/chooseEngine.ts"
import type { DeviceView } from "../../../src/queen/scheduler/Fleet.ts"
import { hive } from "../../support/fleetFakes.ts"

const llama = { name: "llama", capabilities: onlyCapabilities(["chat"]) }
const vllm = { name: "vllm", capabilities: onlyCapabilities(["chat", "tools"]) }
const model = { id: "m", memoryBytes: 1, engines: [llama, vllm] }

const atlas = hive({
  engineDevices: new Map([
    ["llama", ["gpu-0", "cpu-0"]],
    ["vllm", ["gpu-0"]]
  ])
})
const cpu: DeviceView = { id: "cpu-0", kind: "cpu", totalBytes: 1, freeBytes: 1, usable: true }

describe("chooseEngine", () => {
  it("chooses the default engine, by no name, if it has the capabilities", () => {
    const choice = chooseEngine(atlas, model, { capabilities: ["chat"] })
    assert.strictEqual(choice._tag, "Engine")
    assert.notProperty(choice, "name")
    assert.isTrue(choice._tag === "Engine" && choice.canUse(cpu))
    assert.isFalse(choice._tag === "Engine" && choice.canUse({ ...cpu, usable: false }))
  })

  it("chooses another engine with a capability that the default one lacks, on its own devices", () => {
    const choice = chooseEngine(atlas, model, { capabilities: ["chat", "tools"] })
    assert.isTrue(choice._tag === "Engine" && choice.name === "vllm" && !choice.canUse(cpu))
  })

  it("chooses the engine that the request names, and no other", () => {
    const named = chooseEngine(atlas, model, { engine: "vllm" })
    assert.isTrue(named._tag === "Engine" && named.name === "vllm" && !named.canUse(cpu))
    assert.deepStrictEqual(chooseEngine(atlas, model, { engine: "llama", capabilities: ["tools"] }), {
      _tag: "Lacking",
      capability: "tools"
    })
  })

  it("names the capability that all engines lack", () => {
    assert.deepStrictEqual(chooseEngine(atlas, model, { capabilities: ["tools", "images"] }), {
      _tag: "Lacking",
      capability: "images"
    })
  })

  it("trusts an older hive, whose engines are unknown, on all usable devices", () => {
    const older = chooseEngine(hive(), { id: "m", memoryBytes: 1 }, { capabilities: ["images"] })
    assert.isTrue(older._tag === "Engine" && older.name === undefined && older.canUse(cpu))
    const named = chooseEngine(hive(), { id: "m", memoryBytes: 1 }, { engine: "vllm" })
    assert.isTrue(named._tag === "Engine" && named.name === "vllm")
  })
})
