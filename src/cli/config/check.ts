import * as Command from "effect/cli/Command"
import * as Effect from "effect/Effect"
import { CapabilitiesCache } from "../../hives/CapabilitiesCache.ts"
import { HivesConf } from "../../hives/HivesConf.ts"
import { Settings } from "../../settings/Settings.ts"
import { Output } from "../Output.ts"

export const configCheck = Command.make(
  "check",
  {},
  Effect.fnUntraced(
    function* () {
      const output = yield* Output
      const { overridden, unknown } = yield* Settings
      const [problem, ...others] = overridden
      for (const { message } of others) yield* output.note(message)
      if (problem !== undefined) return yield* problem
      const hives = yield* HivesConf.use(({ load }) => load)
      const cached = yield* CapabilitiesCache.use(({ all }) => all)
      for (const key of unknown) yield* output.note(`config.toml: unknown setting '${key}' is ignored`)
      yield* output.answer({
        "config.toml": unknown.length === 0 ? "ok" : `ok, with ${unknown.length} unknown settings`,
        "hives.conf": `ok, ${hives.length} hives`,
        "capabilities.json": `ok, ${Object.keys(cached).length} hives`
      })
    },
    Effect.provide([HivesConf.layer, CapabilitiesCache.layer])
  )
).pipe(
  Command.withDescription("Validate all settings; errors name line and field"),
  Command.withExamples([{ command: "rbee config check" }])
)
