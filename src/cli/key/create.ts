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
  Argument.withDescription("What the key is called, such as the application that gets it")
)
const concurrency = Flag.Int("concurrency").pipe(
  Flag.withDescription("Requests at the same time, at most"),
  Flag.optional
)
const tokensPerMinute = Flag.Int("tokens-per-minute").pipe(
  Flag.withDescription("Tokens in a minute, at most"),
  Flag.optional
)
const models = Flag.String("model").pipe(
  Flag.withDescription("A model that it may use; may be given several times; without it: all"),
  Flag.atLeast(0)
)
const priority = Flag.Int("priority").pipe(
  Flag.withDescription("From -10 to 10: who goes first when requests wait"),
  Flag.withDefault(0)
)

export const keyCreate = Command.make(
  "create",
  { name, concurrency, tokensPerMinute, models, priority },
  Effect.fnUntraced(function* (typed) {
    const output = yield* Output
    const keys = yield* ApiKeys
    const { key, record } = yield* keys
      .create({
        name: typed.name,
        concurrency: Option.getOrUndefined(typed.concurrency),
        tokensPerMinute: Option.getOrUndefined(typed.tokensPerMinute),
        models: typed.models.length === 0 ? undefined : typed.models,
        priority: typed.priority
      })
      .pipe(Effect.catchTag("InvalidApiKey", ({ message }) => new BadInput({ message })))
    const secret = Redacted.value(key)
    yield* output.json ? output.answer({ key: secret, ...record }) : output.line(secret)
    for (const model of yield* unknownModels(typed.models, key)) {
      yield* output.note(
        `Warning: the queen knows no model '${model}'; the key holds for it once there is one ('rbee model list' shows the models)`
      )
    }
    yield* output.note(
      "This key is shown only now. Give it to the application, which sends it as 'Authorization: Bearer <key>'."
    )
  }, Effect.provide(ApiKeys.layerNoDeps))
).pipe(
  Command.withDescription("Make a key with which an application may use the queen's OpenAI-compatible API"),
  Command.withExamples([
    { command: "rbee key create notebook" },
    {
      command: "rbee key create chat --concurrency 4 --tokens-per-minute 20000 --model rbee:tiny --priority 5"
    }
  ])
)
