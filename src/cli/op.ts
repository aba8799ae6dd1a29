import * as Argument from "effect/cli/Argument"
import * as Command from "effect/cli/Command"
import * as Flag from "effect/cli/Flag"
import * as Effect from "effect/Effect"
import { builtIn, jsonSchemas } from "../operation/Catalog.ts"
import { BadInput } from "./errors.ts"
import { Output } from "./Output.ts"
import { runJson } from "./runJob.ts"
import { readInput } from "./stdin.ts"

const request = Argument.String("json").pipe(
  Argument.withDescription("The operation as JSON; - or nothing reads standard input"),
  Argument.withDefault("-")
)
const schema = Flag.Boolean("schema").pipe(
  Flag.withDescription("Print the JSON Schema of every operation instead"),
  Flag.withDefault(false)
)

export const op = Command.make(
  "op",
  { request, schema },
  Effect.fnUntraced(function* (typed) {
    const output = yield* Output
    if (typed.schema) return yield* output.line(JSON.stringify(jsonSchemas(builtIn), null, 2))
    const body = typed.request === "-" ? yield* readInput : typed.request
    if (body.trim() === "") return yield* new BadInput({ message: "There is no operation: give it as JSON" })
    yield* runJson(body, "answer")
  })
).pipe(
  Command.withDescription("Run any operation, given as JSON"),
  Command.withExamples([
    { command: `rbee op '{"operation":"worker_list","hive_id":"localhost"}'` },
    { command: "rbee op --schema" }
  ])
)
