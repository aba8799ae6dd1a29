import { assert, describe, it } from "@effect/vitest"
import { Effect, Layer } from "effect"
import { HivesConf } from "../../../src/hives/HivesConf.ts"
import { HiveNotConfigured } from "../../../src/queen/forward/errors.ts"
import { HiveTargets } from "../../../src/queen/lifecycle/HiveTargets.ts"

const atlas = { aliases: ["atlas", "titan"], hostName: "10.0.0.7", port: 2222, user: "me", hivePort: 9081 }

const find = (alias: string) =>
  HiveTargets.use((targets) => targets.find(alias)).pipe(
    Effect.provide(Layer.provide(HiveTargets.layerNoDeps, HivesConf.layerMemory([atlas])))
  )

describe("HiveTargets", () => {
  it.effect("finds the entry of a hive by any of its aliases, with its machine under that alias", () =>
    Effect.gen(function* () {
      assert.deepStrictEqual(yield* find("titan"), {
        entry: atlas,
        target: { alias: "titan", hostName: "10.0.0.7", port: 2222, user: "me" }
      })
    })
  )

  it.effect("fails with the known aliases for a hive that is not in hives.conf", () =>
    Effect.gen(function* () {
      assert.deepStrictEqual(
        yield* Effect.flip(find("boreas")),
        new HiveNotConfigured({ hive: "boreas", known: ["atlas", "titan"] })
      )
    })
  )
})
