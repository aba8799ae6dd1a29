import { assert, describe, it } from "@effect/vitest"
import { hiveForFile, hiveOfWorker, hiveWithoutInventory } from "../../../src/queen/fleet/hiveChoice.ts"
import type { KnownHive } from "../../../src/queen/registry/HiveRecord.ts"
import { device, listedWorker, snapshot } from "../../support/fleetRuns.ts"
import { storedModel } from "../../support/gateway.ts"

const nobody: ReadonlySet<string> = new Set()
const small = snapshot("small", { devices: [device("gpu", 8)] })
const large = snapshot("large", { devices: [device("gpu", 16)] })
const huge = snapshot("huge", { devices: [device("cpu", 1000), device("gpu", 99, false)] })

describe("hiveForFile", () => {
  it("is the one that has the model", () => {
    const holder = snapshot("holder", { models: [storedModel("rbee:tiny")] })
    assert.strictEqual(hiveForFile([large, holder], "rbee:tiny", nobody), "holder")
    assert.strictEqual(hiveForFile([large, holder], "hf:a/b", nobody), "large")
  })

  it("is else the one with the largest device that an engine can use, a GPU before a CPU", () => {
    assert.strictEqual(hiveForFile([small, huge, large], "m", nobody), "large")
    assert.strictEqual(hiveForFile([huge, small], "m", nobody), "small")
    assert.strictEqual(hiveForFile([snapshot("none"), huge], "m", nobody), "huge")
  })

  it("is the same for every order of equal hives", () => {
    const twin = { ...large, hive: "twin" }
    assert.strictEqual(hiveForFile([twin, large], undefined, nobody), "large")
    assert.strictEqual(hiveForFile([large, twin], undefined, nobody), "large")
  })

  it("is never one that is away or avoided, even with the model", () => {
    const away = snapshot("away", { models: [storedModel("m")] }, "it does not answer")
    assert.strictEqual(hiveForFile([away, small, large], "m", new Set(["large"])), "small")
    assert.isUndefined(hiveForFile([away, large], "m", new Set(["large"])))
  })
})

describe("hiveOfWorker", () => {
  it("is the one whose inventory lists the worker", () => {
    const fleet = [small, snapshot("atlas", { workers: [listedWorker("w1"), listedWorker("w2")] })]
    assert.strictEqual(hiveOfWorker(fleet, "w2"), "atlas")
    assert.isUndefined(hiveOfWorker(fleet, "w3"))
  })
})

describe("hiveWithoutInventory", () => {
  const known = (
    alias: string,
    models: ReadonlyArray<string> = [],
    state: KnownHive["record"]["state"] = "active"
  ): KnownHive => ({
    record: { alias, url: "http://10.0.0.7:8081", state, source: "heartbeat" },
    peer: { url: "http://10.0.0.7:8081" },
    workers: models.map((model_id) => ({
      ...listedWorker("w", model_id),
      last_heartbeat: "",
      health_status: ""
    }))
  })

  it("is an active one that reports no inventory, first one with a worker of the model", () => {
    const hives = [known("large"), known("old"), known("older", ["m"])]
    assert.strictEqual(hiveWithoutInventory(hives, [large], "m", nobody), "older")
    assert.strictEqual(hiveWithoutInventory(hives, [large], "n", nobody), "old")
    assert.strictEqual(hiveWithoutInventory(hives, [], "n", nobody), "large")
  })

  it("may be one whose inventory is only remembered", () => {
    const away = snapshot("old", {}, "no inventory")
    assert.strictEqual(hiveWithoutInventory([known("old")], [away], "m", nobody), "old")
  })

  it("is never one that is avoided or not active", () => {
    const hives = [known("old", ["m"]), known("gone", ["m"], "unreachable"), known("late", ["m"], "stale")]
    assert.isUndefined(hiveWithoutInventory(hives, [], "m", new Set(["old"])))
  })
})
