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
  Argument.withDescription("Operation as JSON; - reads stdin (default: -)"),
  Argument.withDefault("-")
)
const schema = Flag.Boolean("schema").pipe(
  Flag.withDescription("Print the JSON Schema of every operation and exit"),
  Flag.withDefault(false)
)

export const op = Command.make(
  "op",
  { request, schema },
  Effect.fnUntraced(function* (args) {
    const output = yield* Output
    if (args.schema) return yield* output.line(JSON.stringify(jsonSchemas(builtIn), null, 2))
    const body = args.request === "-" ? yield* readInput : args.request
    if (body.trim() === "") return yield* new BadInput({ message: "Missing operation: pass it as JSON" })
    yield* runJson(body, "answer")
  })
).pipe(
  Command.withDescription("Run an operation given as JSON"),
  Command.withExamples([
    { command: `rbee op '{"operation":"worker_list","hive_id":"localhost"}'` },
    { command: "rbee op --schema" }
  ])
)
