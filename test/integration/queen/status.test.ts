import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { render } from "../../../src/job/view/Table.ts"
import { startFleet } from "../../support/fleet.ts"
import { resultOf } from "../../support/hive.ts"

interface Shown {
  readonly hive: string
  readonly id: string
  readonly away?: string
}

describe("the status of a fleet", () => {
  it.live("marks the models of an unreachable hive, and gives no number for its workers", () =>
    Effect.gen(function* () {
      const fleet = yield* startFleet({ hives: ["alpha", "beta"], models: (id) => [`of-${id}`] })
      yield* fleet.serve("rbee:tiny", ["alpha", "beta"])
      const status = Effect.map(fleet.client.run({ operation: "status" }), (events) =>
        JSON.parse(resultOf(events))
      )
      const modelsOf = (models: ReadonlyArray<Shown>) =>
        models.map(({ away, hive, id }) => `${hive} ${id} ${away ?? "here"}`).toSorted()
      const all = ["alpha of-alpha", "alpha rbee:tiny", "beta of-beta", "beta rbee:tiny"]
      const before = yield* status
      assert.deepStrictEqual(
        modelsOf(before.models),
        all.map((model) => `${model} here`)
      )
      yield* fleet.hive("alpha").stop
      const after = yield* status
      const alpha = after.hives.find(({ alias }: { readonly alias: string }) => alias === "alpha")
      assert.strictEqual(alpha.reason, "connection refused")
      assert.deepStrictEqual(
        modelsOf(after.models),
        all.map((model) => `${model} ${model.startsWith("alpha") ? "connection refused" : "here"}`)
      )
      assert.deepStrictEqual(
        after.workers.map(({ hive }: Shown) => hive),
        ["beta"]
      )
      const table = render({ hives: after.hives })
      assert.match(table, /^alpha +\S+ +unreachable .*-$/m)
      assert.match(table, /^beta +\S+ +active .*\b1$/m)
    }).pipe(Effect.scoped)
  )
})
