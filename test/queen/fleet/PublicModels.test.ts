import { assert, describe, it } from "@effect/vitest"
import { PublicModels } from "../../../src/queen/fleet/PublicModels.ts"
import { snapshot } from "../../support/fleetRuns.ts"
import { storedModel } from "../../support/gateway.ts"

const fleet = () => [
  snapshot("atlas", { models: [storedModel("rbee:tiny")] }),
  snapshot("boreas", { models: [storedModel("rbee:tiny"), storedModel("hf:a/b")] }, "it does not answer")
]

describe("PublicModels", () => {
  it("are the models of all hives, with those of hives that are away, the aliases first", () => {
    const models = new PublicModels({ chat: { model: "rbee:tiny" } }).of(fleet())
    assert.deepStrictEqual(
      models.map(({ hives, id, name }) => ({ hives, id, name })),
      [
        { name: "chat", id: "rbee:tiny", hives: ["atlas", "boreas"] },
        { name: "rbee:tiny", id: "rbee:tiny", hives: ["atlas", "boreas"] },
        { name: "hf:a/b", id: "hf:a/b", hives: ["boreas"] }
      ]
    )
  })

  it("are derived once for the same snapshots, and again for new ones", () => {
    const models = new PublicModels({})
    const snapshots = fleet()
    const first = models.of(snapshots)
    assert.strictEqual(models.of(snapshots), first)
    assert.lengthOf(models.of([snapshot("atlas")]), 0)
    assert.notStrictEqual(models.of(snapshots), first)
  })
})
