import { mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs"
import * as path from "node:path"
import { NodeServices } from "@effect/platform-node"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Layer } from "effect"
import { TestClock } from "effect/testing"
import { KnownModels } from "../../../src/queen/registry/KnownModels.ts"
import { Paths } from "../../../src/settings/Paths.ts"
import { Settings } from "../../../src/settings/Settings.ts"
import { temporaryHome } from "../../support/hive.ts"

const model = (id: string) => ({
  id,
  size_bytes: 1,
  memory_bytes: 1,
  worker_context: 512,
  worker_slots: 1,
  token_bytes: 1,
  architecture: "llama",
  parameters: 1,
  context_length: 512,
  quantisation: "Q8_0",
  chat_template: true
})

const noted = (...ids: ReadonlyArray<string>) => ({ models: ids.map(model), isConfigured: false })

/** Runs a queen's models in a home folder, until its scope closes. */
const inHome = <A, E>(home: string, use: Effect.Effect<A, E, KnownModels>) =>
  Effect.provide(
    use,
    KnownModels.layerNoDeps.pipe(
      Layer.provide([Paths.layerAt(home), Settings.layerDefaults(), NodeServices.layer])
    ),
    { local: true }
  )

const names = Effect.gen(function* () {
  const memory = yield* KnownModels
  return [...(yield* memory.all)].map(
    ([hive, { models }]) => `${hive}: ${models.map(({ id }) => id).join(" ")}`
  )
})

const fileOf = (home: string) => path.join(home, "state", "fleet.json")

describe("KnownModels", () => {
  it.effect("reads the models of hives after a restart, except forgotten ones", () =>
    Effect.gen(function* () {
      const home = yield* temporaryHome
      yield* inHome(
        home,
        Effect.gen(function* () {
          const memory = yield* KnownModels
          yield* memory.record(
            new Map([
              ["atlas", noted("a", "b")],
              ["boreas", noted("c")]
            ])
          )
          // Before the scope closes: the queen may be killed.
          assert.include(readFileSync(fileOf(home), "utf8"), `"atlas"`)
          yield* memory.record(new Map([["atlas", noted("a")]]))
        })
      )
      assert.sameMembers(yield* inHome(home, names), ["atlas: a", "boreas: c"])
      yield* inHome(
        home,
        KnownModels.use((memory) => memory.forget("boreas"))
      )
      assert.deepStrictEqual(yield* inHome(home, names), ["atlas: a"])
      yield* TestClock.adjust("24 hours")
      assert.deepStrictEqual(yield* inHome(home, names), ["atlas: a"])
      yield* TestClock.adjust("1 millis")
      assert.deepStrictEqual(yield* inHome(home, names), [])
      assert.deepStrictEqual(
        readdirSync(path.join(home, "state")).filter((name) => name !== "fleet.json"),
        []
      )
    })
  )

  it.effect("renames a damaged file, and starts", () =>
    Effect.gen(function* () {
      for (const damage of [
        "",
        "{",
        "[]",
        `{"version":1,"hives":{"atlas":7}}`,
        `{"version":2}`,
        "\u0000\u0001"
      ]) {
        const home = yield* temporaryHome
        mkdirSync(path.dirname(fileOf(home)), { recursive: true })
        writeFileSync(fileOf(home), damage)
        assert.deepStrictEqual(yield* inHome(home, names), [], damage)
        assert.strictEqual(readFileSync(`${fileOf(home)}.damaged`, "utf8"), damage)
        yield* inHome(
          home,
          KnownModels.use((memory) => memory.record(new Map([["atlas", noted("a")]])))
        )
        assert.deepStrictEqual(yield* inHome(home, names), ["atlas: a"])
      }
    })
  )

  it.effect("skips unreadable models, and works where no file can be written", () =>
    Effect.gen(function* () {
      const home = yield* temporaryHome
      mkdirSync(path.dirname(fileOf(home)), { recursive: true })
      const hives = { atlas: { seen_at: 0, configured: true, models: [{ id: "old" }, model("a"), 7] } }
      writeFileSync(fileOf(home), JSON.stringify({ version: 1, hives }))
      assert.deepStrictEqual(yield* inHome(home, names), ["atlas: a"])

      const other = yield* temporaryHome
      // A file where the folder should be.
      writeFileSync(path.join(other, "state"), "")
      yield* inHome(
        other,
        Effect.gen(function* () {
          const memory = yield* KnownModels
          yield* memory.record(new Map([["atlas", noted("a")]]))
          assert.deepStrictEqual(yield* names, ["atlas: a"])
        })
      )
    })
  )

  it.effect("is bounded: the hives with the oldest answers are dropped first", () =>
    Effect.gen(function* () {
      const home = yield* temporaryHome
      yield* inHome(
        home,
        Effect.gen(function* () {
          const memory = yield* KnownModels
          for (let i = 0; i < 3; i++) {
            yield* memory.record(
              new Map(Array.from({ length: 500 }, (_, j) => [`hive-${i}-${j}`, noted(`m-${j}`)]))
            )
          }
          const all = yield* memory.all
          assert.strictEqual(all.size, 1024)
          assert.isFalse(all.has("hive-0-0"))
          assert.isTrue(all.has("hive-2-499"))
        })
      )
    })
  )
})
