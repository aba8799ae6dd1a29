import * as Command from "effect/cli/Command"
import * as Effect from "effect/Effect"
import { Settings } from "../../settings/Settings.ts"
import { Output } from "../Output.ts"

export const configShow = Command.make(
  "show",
  {},
  Effect.fnUntraced(function* () {
    const output = yield* Output
    const { sources } = yield* Settings
    const settings = sources.map(({ key, source, value }) => ({ setting: key, value, from: source }))
    yield* output.answer({ settings })
  })
).pipe(
  Command.withDescription("Show every setting with its value and source"),
  Command.withExamples([
    { command: "rbee config show" },
    { command: "RBEE_QUEEN_PORT=9000 rbee config show --json" }
  ])
)
