import { assert, describe, it } from "@effect/vitest"
import { Result } from "effect"
import type { Engine } from "../../../src/hive/engines/Engine.ts"
import {
  checkInstalled,
  checkServable,
  enginesFor,
  replacementFor
} from "../../../src/hive/workers/engineSelection.ts"

const engine = (name: string, more: Partial<Engine> = {}): Engine => ({
  name,
  cancellation: { _tag: "Disconnect" },
  backends: ["cpu"],
  install: `install ${name}`,
  command: () => ({ command: name, args: [] }),
  readyPath: "/health",
  ...more
})

const installed = (...engines: ReadonlyArray<Engine>) => new Map(engines.map((one) => [one.name, one]))

const traits = { chatTemplate: true, purpose: "text", reasons: false, tools: false } as const

describe("the engines for a model", () => {
  it("are those that are installed and take its file, the default engine first", () => {
    const engines = installed(
      engine("a", { refuses: () => "GGUF only" }),
      engine("b", { missing: "not found" }),
      engine("c"),
      engine("d", { capabilities: () => ({ tools: true }) })
    )
    assert.deepStrictEqual(enginesFor(engines, "d", "/m", traits), [
      { name: "d", capabilities: { tools: true } },
      { name: "c", capabilities: {} }
    ])
  })
})

describe("the replacement of an engine", () => {
  const without = { name: "a", capabilities: { tools: false } }
  const having = { name: "b", capabilities: { tools: true } }

  it("is not needed when the first engine has the capabilities, or no engine serves the model", () => {
    assert.deepStrictEqual(replacementFor(["tools"], [having, without], "m"), Result.succeed(undefined))
    assert.deepStrictEqual(replacementFor(["tools"], [], "m"), Result.succeed(undefined))
  })

  it("is the next engine that has them", () => {
    assert.deepStrictEqual(replacementFor(["tools"], [without, having], "m"), Result.succeed("b"))
  })

  it("fails with the capability that every engine lacks", () => {
    const failure = Result.flip(replacementFor(["tools"], [without], "m"))
    assert.deepInclude(Result.getOrThrow(failure), { _tag: "CapabilityMissing", capability: "tools" })
  })
})

describe("the check of an engine", () => {
  it("refuses one that is not installed, with the way to install it", () => {
    const failure = Result.flip(checkInstalled(engine("x", { missing: "not on the PATH" })))
    assert.deepInclude(Result.getOrThrow(failure), { reason: "not on the PATH", install: "install x" })
    assert.isTrue(Result.isSuccess(checkInstalled(engine("x"))))
    assert.isTrue(Result.isSuccess(checkInstalled(undefined)))
  })

  it("refuses a file that it cannot read, and a chat template that it cannot take", () => {
    const model = { id: "m", path: "/m.bin", chatTemplate: undefined }
    const readsGguf = engine("x", { refuses: () => "it serves GGUF files only" })
    const failure = Result.flip(checkServable(readsGguf, model))
    assert.strictEqual(Result.getOrThrow(failure).reason, "it serves GGUF files only")
    const own = { ...model, chatTemplate: "/m.jinja" }
    assert.isTrue(Result.isFailure(checkServable(engine("x"), own)))
    assert.isTrue(Result.isSuccess(checkServable(engine("x", { chatTemplates: true }), own)))
    assert.isTrue(Result.isSuccess(checkServable(engine("x"), model)))
  })
})
