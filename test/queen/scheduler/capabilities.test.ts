import { assert, describe, it } from "@effect/vitest"
import { type Capability, onlyCapabilities } from "../../../src/operation/Capabilities.ts"
import type { EngineView } from "../../../src/queen/scheduler/Fleet.ts"
import { gib, hive, inShort, Scheduling, worker } from "../../support/fleetFakes.ts"

const engine = (name: string, ...capabilities: ReadonlyArray<Capability>): EngineView => ({
  name,
  capabilities: onlyCapabilities(capabilities)
})
const builtIn = engine("llama", "chat", "completions", "embeddings", "json_schema")
const server = engine("llama-server", "chat", "completions", "tools", "json_schema")
const unknown: EngineView = { name: "other", capabilities: {} }

const model = (...engines: ReadonlyArray<EngineView>) => [{ id: "m", memoryBytes: 4 * gib, engines }]
const tools = { capabilities: ["chat", "tools"] as const }
const images = { capabilities: ["chat", "images"] as const }

const engineOf = (orders: ReturnType<Scheduling["ask"]>) => {
  const load = orders.find(({ _tag }) => _tag === "Load")
  return load?._tag === "Load" ? [load.hive, load.engine] : undefined
}

describe("a request that needs a capability which not every engine has", () => {
  it("runs on a worker with the capability, or on one whose capabilities are unknown", () => {
    const able = worker("able", { capabilities: server.capabilities })
    const notAble = worker("not", { capabilities: builtIn.capabilities })
    const scheduling = new Scheduling(hive({ workers: [notAble, able], models: model(builtIn, server) }))
    for (const id of ["a", "b"]) {
      assert.deepStrictEqual(inShort(scheduling.ask(id, tools)), [`run ${id} on able`])
    }
    const older = new Scheduling(hive({ workers: [worker("older")] }))
    assert.deepStrictEqual(inShort(older.ask("a", tools)), ["run a on older"])
  })

  it("gets an engine with the capability loaded: the default one, else another of the hive", () => {
    const asks = [
      [[builtIn, server], { capabilities: ["chat"] as const }, undefined],
      [[builtIn, server], tools, "llama-server"],
      [[server, builtIn], tools, undefined],
      [[server, builtIn], { capabilities: ["embeddings"] as const }, "llama"],
      [[unknown, builtIn], images, undefined]
    ] as const
    for (const [engines, needs, expected] of asks) {
      const scheduling = new Scheduling(hive({ models: model(...engines) }))
      assert.deepStrictEqual(engineOf(scheduling.ask("a", needs)), ["atlas", expected])
    }
  })

  it("runs on a hive whose engines have the capability, or on an older hive whose engines are unknown", () => {
    const two = new Scheduling(
      hive({ models: model(builtIn) }),
      hive({ id: "boreas", models: model(builtIn, server) })
    )
    assert.deepStrictEqual(engineOf(two.ask("a", tools)), ["boreas", "llama-server"])
    const older = new Scheduling(hive({ models: model(builtIn) }), hive({ id: "boreas" }))
    assert.deepStrictEqual(engineOf(older.ask("a", tools)), ["boreas", undefined])
  })

  it("is refused with the missing capability when no engine has it, without delaying other requests", () => {
    const scheduling = new Scheduling(hive({ models: model(builtIn, server) }))
    const [, refused] = scheduling.ask("a", images)
    assert.deepStrictEqual(refused, {
      _tag: "Refuse",
      id: "a",
      refusal: { _tag: "Incapable", capability: "images" }
    })
    assert.deepStrictEqual(inShort(scheduling.ask("b")), ["b waits in 1", "load m on atlas/gpu-0"])
    // An engine of unknown capabilities does not replace the default one.
    const other = new Scheduling(hive({ models: model(builtIn, unknown) }))
    assert.include(inShort(other.ask("a", images)), "refuse a: Incapable")
    // A request that names an engine gets no other.
    const named = new Scheduling(hive({ models: model(builtIn, server) }))
    assert.include(inShort(named.ask("a", { ...tools, engine: "llama" })), "refuse a: Incapable")
  })

  it("is refused for now while the only hive with such an engine is away", () => {
    const scheduling = new Scheduling(
      hive({ models: model(builtIn) }),
      hive({ id: "boreas", models: model(server), away: "connection refused" })
    )
    assert.include(inShort(scheduling.ask("a", tools)), "refuse a: Impossible")
  })

  it("does not delay requests behind it that other workers can serve", () => {
    const notAble = worker("not", { capabilities: builtIn.capabilities, slots: 1 })
    const scheduling = new Scheduling(hive({ workers: [notAble], models: model(builtIn, server), free: 12 }))
    assert.deepStrictEqual(engineOf(scheduling.ask("tools", tools)), ["atlas", "llama-server"])
    assert.deepStrictEqual(inShort(scheduling.ask("chat", { capabilities: ["chat"] })), ["run chat on not"])
  })
})
