import * as Argument from "effect/cli/Argument"
import * as Command from "effect/cli/Command"
import * as Flag from "effect/cli/Flag"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Redacted from "effect/Redacted"
import { ApiKeys } from "../../access/ApiKeys.ts"
import { BadInput } from "../errors.ts"
import { Output } from "../Output.ts"
import { unknownModels } from "./unknownModels.ts"

const name = Argument.String("name").pipe(
  Argument.withDescription("Key name, for example the application's name")
)
const concurrency = Flag.Int("concurrency").pipe(
  Flag.withDescription("Maximum number of concurrent requests (default: unlimited)"),
  Flag.optional
)
const tokensPerMinute = Flag.Int("tokens-per-minute").pipe(
  Flag.withDescription("Maximum number of tokens per minute (default: unlimited)"),
  Flag.optional
)
const models = Flag.String("model").pipe(
  Flag.withDescription("Allowed model; repeatable (default: all models)"),
  Flag.atLeast(0)
)
const priority = Flag.Int("priority").pipe(
  Flag.withDescription("Queue priority, -10 to 10 (default: 0)"),
  Flag.withDefault(0)
)

export const keyCreate = Command.make(
  "create",
  { name, concurrency, tokensPerMinute, models, priority },
  Effect.fnUntraced(function* (args) {
    const output = yield* Output
    const keys = yield* ApiKeys
    const { key, record } = yield* keys
      .create({
        name: args.name,
        concurrency: Option.getOrUndefined(args.concurrency),
        tokensPerMinute: Option.getOrUndefined(args.tokensPerMinute),
        models: args.models.length === 0 ? undefined : args.models,
        priority: args.priority
      })
      .pipe(Effect.catchTag("InvalidApiKey", ({ message }) => new BadInput({ message })))
    const secret = Redacted.value(key)
    yield* output.json ? output.answer({ key: secret, ...record }) : output.line(secret)
    for (const model of yield* unknownModels(args.models, key)) {
      yield* output.note(
        `Warning: model '${model}' is not on any hive yet; the key will apply once it is (see 'rbee model list')`
      )
    }
    yield* output.note(
      "The key is shown only once. The application sends it as 'Authorization: Bearer <key>'."
    )
  }, Effect.provide(ApiKeys.layerNoDeps))
).pipe(
  Command.withDescription("Create an API key for an application"),
  Command.withExamples([
    { command: "rbee key create notebook" },
    {
      command: "rbee key create chat --concurrency 4 --tokens-per-minute 20000 --model rbee:tiny --priority 5"
    }
  ])
)
