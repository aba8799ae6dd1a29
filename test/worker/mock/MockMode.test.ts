import { assert, describe, it } from "@effect/vitest"
import { Result } from "effect"
import { parseMode } from "../../../src/worker/mock/MockMode.ts"

const problemOf = (text: string) => Result.getOrThrow(Result.flip(parseMode(text))).message

describe("a mode", () => {
  it("is a name, or JSON with fields that have defaults", () => {
    assert.deepStrictEqual(parseMode(" drop\n"), Result.succeed({ mode: "drop", after: 0 }))
    assert.deepStrictEqual(parseMode(`{"mode":"drop","after":5}`), Result.succeed({ mode: "drop", after: 5 }))
    assert.deepStrictEqual(parseMode("flaky"), Result.succeed({ mode: "flaky", every: 3, status: 500 }))
    assert.deepStrictEqual(parseMode("slow"), Result.succeed({ mode: "slow", delay_ms: 1000 }))
    assert.deepStrictEqual(
      parseMode(`{"mode":"slow-reader"}`),
      Result.succeed({ mode: "slow-reader", bytes_per_second: 1000 })
    )
  })

  it("that is unknown, misspelled or out of range is refused with what is wrong", () => {
    assert.match(problemOf("dorp"), /^Unknown mode 'dorp'; write a mode \(ok, slow, hang, /)
    assert.match(problemOf(""), /^Unknown mode ''/)
    assert.match(problemOf("{}"), /^Unknown mode 'undefined'/)
    assert.match(problemOf("{"), /^The mode is not a JSON object/)
    assert.match(problemOf(`{"mode":"drop","aftr":5}`), /aftr/)
    assert.match(problemOf(`{"mode":"drop","after":-1}`), /after/)
    assert.match(problemOf(`{"mode":"flaky","every":0}`), /every/)
    assert.match(problemOf(`{"mode":"flaky","status":200}`), /status/)
  })
})
