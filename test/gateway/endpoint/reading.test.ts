import { assert, describe, it } from "@effect/vitest"
import { Result, Schema } from "effect"
import {
  definedFields,
  engineTool,
  optional,
  parsedArguments,
  reader,
  unsupportedField
} from "../../../src/gateway/endpoint/reading.ts"

const read = reader(
  Schema.Struct({
    model: Schema.String,
    limits: optional(Schema.Struct({ tokens: Schema.Int }))
  })
)

const problemOf = (body: { readonly [field: string]: unknown }) => {
  const { param, reason } = Result.getOrThrow(Result.flip(read(body)))
  return [param, reason]
}

describe("reader", () => {
  it("decodes a body; an optional field may be null", () => {
    for (const body of [
      { model: "m" },
      { model: "m", limits: null },
      { model: "m", limits: { tokens: 3 } }
    ]) {
      assert.deepStrictEqual(Result.getOrThrow(read(body)), body)
    }
  })

  it("names the invalid field by its path", () => {
    assert.deepStrictEqual(problemOf({}), ["model", "'model' is required"])
    const [param, reason] = problemOf({ model: "m", limits: { tokens: "three" } })
    assert.strictEqual(param, "limits.tokens")
    assert.match(String(reason), /^'limits\.tokens': /)
  })

  it("does not list null as an expected value", () => {
    assert.notInclude(String(problemOf({ model: "m", limits: 3 })[1]), "null")
  })
})

describe("fields of a body", () => {
  it("are defined unless they are undefined or null", () => {
    const fields = { a: undefined, b: null, c: 0, d: "", e: false }
    assert.deepStrictEqual(definedFields(fields), { c: 0, d: "", e: false })
  })

  it("that no engine supports are named in the error", () => {
    const error = Result.getOrThrow(Result.flip(unsupportedField("suffix", "not supported")))
    assert.deepInclude(error, { param: "suffix", reason: "'suffix': not supported" })
  })
})

describe("a tool", () => {
  it("has parameters even if the request has none", () => {
    assert.deepStrictEqual(engineTool("now", null, undefined), {
      type: "function",
      function: { name: "now", parameters: { type: "object", properties: {} } }
    })
  })

  it("keeps its description, parameters and strictness", () => {
    assert.deepStrictEqual(engineTool("add", "Adds", { type: "object" }, false).function, {
      name: "add",
      description: "Adds",
      parameters: { type: "object" },
      strict: false
    })
  })

  it("has arguments that are an object, whatever the model wrote", () => {
    assert.deepStrictEqual(parsedArguments('{"x":1}'), { x: 1 })
    for (const text of ["", "{", "null", "3", '"x"']) assert.deepStrictEqual(parsedArguments(text), {}, text)
  })
})
