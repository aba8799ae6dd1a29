import { assert, it } from "@effect/vitest"
import { ConfigProvider, Effect, Layer } from "effect"
import { Paths } from "../../src/settings/Paths.ts"

const pathsWith = (env: Readonly<Record<string, string>>) =>
  Effect.gen(function* () {
    return { ...(yield* Paths) }
  }).pipe(Effect.provide(Layer.provide(Paths.layer, ConfigProvider.layer(ConfigProvider.fromEnv({ env })))))

it.effect("puts all below RBEE_HOME, else where XDG says, else below the home folder", () =>
  Effect.gen(function* () {
    assert.deepStrictEqual(yield* pathsWith({ RBEE_HOME: "/r", XDG_DATA_HOME: "/x" }), {
      config: "/r/config",
      state: "/r/state",
      data: "/r/data"
    })
    assert.deepStrictEqual(
      yield* pathsWith({ HOME: "/h", XDG_CONFIG_HOME: "/c", XDG_DATA_HOME: "relative" }),
      {
        config: "/c/rbee",
        state: "/h/.local/state/rbee",
        data: "/h/.local/share/rbee"
      }
    )
  })
)
