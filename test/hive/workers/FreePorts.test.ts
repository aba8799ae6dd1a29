import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { FreePorts } from "../../../src/hive/workers/FreePorts.ts"

describe("FreePorts", () => {
  // The system gives one of some 28,000 at random, so that among so many several come twice.
  it.live("gives no port twice", () =>
    Effect.gen(function* () {
      const ports = yield* FreePorts
      const given = yield* Effect.forEach(Array.from({ length: 1500 }), () => ports.next)
      assert.lengthOf(new Set(given), given.length)
    }).pipe(Effect.provide(FreePorts.layer))
  )
})
