import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { Headers } from "effect/http"
import { waitLimit } from "../../../src/gateway/endpoint/waitLimit.ts"

const limitOf = (value: string) => waitLimit({ headers: Headers.fromInput({ "x-rbee-deadline-ms": value }) })

describe("waitLimit", () => {
  it.effect("is undefined without the header", () =>
    Effect.gen(function* () {
      assert.isUndefined(yield* waitLimit({ headers: Headers.empty }))
    })
  )

  it.effect("accepts 1 ms to one day", () =>
    Effect.gen(function* () {
      for (const millis of [1, 1500, 86_400_000]) {
        assert.strictEqual(yield* limitOf(String(millis)), millis)
      }
    })
  )

  it.effect("rejects every other value", () =>
    Effect.gen(function* () {
      for (const value of ["", "0", "-1", "1.5", "86400001", "1e99", "soon", "NaN"]) {
        const { message } = yield* Effect.flip(limitOf(value))
        assert.include(message, "x-rbee-deadline-ms must be an integer number of milliseconds", value)
      }
    })
  )
})
