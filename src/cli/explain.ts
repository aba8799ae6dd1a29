import * as Argument from "effect/cli/Argument"
import * as Command from "effect/cli/Command"
import * as Flag from "effect/cli/Flag"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import { Explain } from "../operation/fleetOperations.ts"
import { BadInput } from "./errors.ts"
import { runTyped } from "./operationCommand.ts"

const job = Argument.String("job").pipe(
  Argument.withDescription("The job of a request, as x-rbee-job-id says it"),
  Argument.optional
)
const dryRun = Flag.Boolean("dry-run").pipe(
  Flag.withDescription("Say what would be done now for --model, without doing it"),
  Flag.withDefault(false)
)
const model = Flag.String("model").pipe(Flag.withDescription("The model, or an alias of it"), Flag.optional)
const prompt = Flag.String("prompt").pipe(
  Flag.withDescription("With --dry-run: the prompt, whose beginning a worker may know"),
  Flag.optional
)

export const explain = Command.make(
  "explain",
  { job, dryRun, model, prompt },
  Effect.fnUntraced(function* (typed) {
    if (typed.dryRun === Option.isSome(typed.job) || typed.dryRun !== Option.isSome(typed.model)) {
      return yield* new BadInput({ message: "Give either a job, or --dry-run with --model" })
    }
    yield* runTyped(Explain, {
      job_id: Option.getOrUndefined(typed.job),
      model: Option.getOrUndefined(typed.model),
      prompt: Option.getOrUndefined(typed.prompt)
    })
  })
).pipe(
  Command.withDescription("Show why a request went where it went: what was looked at, scores, and why not"),
  Command.withExamples([
    { command: "rbee explain job-5d0c9c1e-6d6b-4a55-8f37-0d3f3f6a8a11" },
    { command: "rbee explain --dry-run --model rbee:tiny" }
  ])
)
