import * as Command from "effect/cli/Command"
import * as Effect from "effect/Effect"
import { ApiKeys } from "../../access/ApiKeys.ts"
import { Output } from "../Output.ts"

export const keyList = Command.make(
  "list",
  {},
  Effect.fnUntraced(function* () {
    const output = yield* Output
    const keys = yield* ApiKeys.use(({ list }) => list)
    if (output.json) return yield* output.answer({ keys })
    // Every row has all columns, because the table takes its columns from the first row.
    const rows = keys.map(({ concurrency, created_at, id, models, name, priority, tokens_per_minute }) => ({
      name,
      id,
      created_at,
      concurrency: concurrency ?? null,
      tokens_per_minute: tokens_per_minute ?? null,
      models: models?.join(", ") ?? "all",
      priority
    }))
    yield* output.answer({ keys: rows })
  }, Effect.provide(ApiKeys.layerNoDeps))
).pipe(
  Command.withDescription("List API keys and their limits; only hashes of the keys are stored"),
  Command.withExamples([{ command: "rbee key list" }, { command: "rbee key list --json" }])
)
