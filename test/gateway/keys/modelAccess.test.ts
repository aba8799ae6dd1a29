import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import type { ApiKey } from "../../../src/access/ApiKey.ts"
import { mayUse, permittedModel } from "../../../src/gateway/keys/modelAccess.ts"
import { pickModel, publicModels } from "../../../src/gateway/upstream/Upstream.ts"
import { storedModel } from "../../support/gateway.ts"

const models = publicModels(
  [{ hive: "atlas", models: [storedModel("rbee:tiny"), storedModel("hf:org/repo:Q4_K_M")] }],
  { fast: { model: "rbee:tiny" } }
)
const find = (name: string) => Effect.fromResult(pickModel(models, name))

const unlimited: ApiKey = { id: "1", name: "app", created_at: "2026-01-02T03:04:05.000Z", priority: 0 }
const keyFor = (...names: ReadonlyArray<string>): ApiKey => ({ ...unlimited, models: names })

describe("a key", () => {
  it("without a list of models may use every model", () => {
    assert.isTrue(mayUse(undefined, { id: "a", name: "b" }))
    assert.isTrue(mayUse(unlimited, { id: "a", name: "b" }))
  })

  it("may use a model that its list contains by public name, by id, or in another spelling", () => {
    const model = { id: "hf:org/repo:Q4_K_M", name: "fast" }
    for (const listed of ["fast", "fast:latest", "hf:org/repo:Q4_K_M"]) {
      assert.isTrue(mayUse(keyFor("other", listed), model), listed)
    }
    for (const listed of ["fas", "hf:org/repo:Q8_0", ""])
      assert.isFalse(mayUse(keyFor(listed), model), listed)
  })
})

describe("permittedModel", () => {
  it.effect("is the found model", () =>
    Effect.gen(function* () {
      const model = yield* permittedModel(keyFor("fast"), "fast", find("fast"))
      assert.deepInclude(model, { name: "fast", id: "rbee:tiny" })
    })
  )

  it.effect("fails for a model that the key may not use, with the name that was requested", () =>
    Effect.gen(function* () {
      const error = yield* Effect.flip(
        permittedModel(keyFor("fast"), "org/repo:Q4_K_M", find("org/repo:Q4_K_M"))
      )
      assert.deepInclude(error, { _tag: "ModelForbidden", key: "app", model: "org/repo:Q4_K_M" })
    })
  )

  it.effect("does not list models that the key may not use when the model is unknown", () =>
    Effect.gen(function* () {
      const known = (key: ApiKey | undefined) =>
        Effect.map(Effect.flip(permittedModel(key, "none", find("none"))), (error) =>
          error._tag === "ModelUnknown" ? error.known : []
        )
      assert.deepStrictEqual(yield* known(keyFor("fast")), ["fast"])
      assert.deepStrictEqual(yield* known(undefined), ["fast", "rbee:tiny", "hf:org/repo:Q4_K_M"])
    })
  )
})
