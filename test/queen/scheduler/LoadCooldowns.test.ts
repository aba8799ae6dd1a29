import { assert, describe, it } from "@effect/vitest"
import { LoadCooldowns, type LoadPlace } from "../../../src/queen/scheduler/LoadCooldowns.ts"

const loadPause = 10_000
const place: LoadPlace = { hive: "atlas", device: "gpu-0", model: "m", revision: "1", memoryBytes: 100 }
const other = { ...place, model: "n" }

const failing = (fault: "full" | "hive" | "killed" | "model", times = 1) => {
  const cooldowns = new LoadCooldowns(loadPause)
  for (let i = 0; i < times; i++) cooldowns.failed(place, fault, "why", 0)
  return cooldowns
}

describe("LoadCooldowns", () => {
  it("hold a model back on a hive whose file or engine failed, for the same memory or more", () => {
    const cooldowns = failing("model")
    const cooldown = cooldowns.of(place, loadPause - 1)
    assert.deepStrictEqual([cooldown?.isFailure, cooldown?.reason, cooldown?.until], [true, "why", loadPause])
    assert.isDefined(cooldowns.of({ ...place, device: "gpu-1", memoryBytes: 101 }, 1))
    assert.isUndefined(cooldowns.of(place, loadPause))
    for (const free of [
      other,
      { ...place, memoryBytes: 99 },
      { ...place, revision: "2" },
      { ...place, engine: "vllm" },
      { ...place, hive: "boreas" }
    ]) {
      assert.isUndefined(cooldowns.of(free, 1), JSON.stringify(free))
    }
  })

  it("hold all models back on a failed hive, for a second", () => {
    const cooldowns = failing("hive")
    assert.isTrue(cooldowns.of(other, 999)?.isFailure)
    assert.isUndefined(cooldowns.of(other, 1_000))
    assert.isUndefined(cooldowns.of({ ...place, hive: "boreas" }, 1))
  })

  it("hold all models back on a device without room, for a second and not as a failure", () => {
    const cooldowns = failing("full")
    assert.isFalse(cooldowns.of(other, 999)?.isFailure)
    assert.isUndefined(cooldowns.of(other, 1_000))
    assert.isUndefined(cooldowns.of({ ...place, device: "gpu-1" }, 1))
  })

  it("hold a model back whose loads were killed three times in a row", () => {
    assert.isUndefined(failing("killed", 2).of(place, 1))
    assert.isDefined(failing("killed", 3).of(place, 1))
    const cooldowns = failing("killed", 2)
    cooldowns.loaded(place)
    cooldowns.failed(place, "killed", "why", 0)
    assert.isUndefined(cooldowns.of(place, 1))
  })

  it("end when the model was loaded", () => {
    const cooldowns = failing("model")
    cooldowns.loaded(place)
    assert.isUndefined(cooldowns.of(place, 1))
  })

  it("stay until they end, and not longer", () => {
    const cooldowns = failing("model")
    cooldowns.tick(loadPause - 1)
    assert.isDefined(cooldowns.of(place, 1))
    cooldowns.tick(loadPause)
    assert.isUndefined(cooldowns.of(place, 1))
  })
})
