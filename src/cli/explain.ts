import * as Argument from "effect/cli/Argument"
import * as Command from "effect/cli/Command"
import * as Flag from "effect/cli/Flag"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import { Explain } from "../operation/fleetOperations.ts"
import { BadInput } from "./errors.ts"
import { runArguments } from "./operationCommand.ts"

const job = Argument.String("job").pipe(
  Argument.withDescription("Job id of the request (x-rbee-job-id)"),
  Argument.optional
)
const dryRun = Flag.Boolean("dry-run").pipe(
  Flag.withDescription("Show the decision for --model without executing it"),
  Flag.withDefault(false)
)
const model = Flag.String("model").pipe(
  Flag.withDescription("With --dry-run: model id or alias"),
  Flag.optional
)
const prompt = Flag.String("prompt").pipe(
  Flag.withDescription("With --dry-run: the prompt, to account for prefix caching"),
  Flag.optional
)

export const explain = Command.make(
  "explain",
  { job, dryRun, model, prompt },
  Effect.fnUntraced(function* (args) {
    if (args.dryRun === Option.isSome(args.job) || args.dryRun !== Option.isSome(args.model)) {
      return yield* new BadInput({ message: "Pass either a job id, or --dry-run with --model" })
    }
    yield* runArguments(Explain, {
      job_id: Option.getOrUndefined(args.job),
      model: Option.getOrUndefined(args.model),
      prompt: Option.getOrUndefined(args.prompt)
    })
  })
).pipe(
  Command.withDescription("Explain a scheduling decision: candidates, scores, rejection reasons"),
  Command.withExamples([
    { command: "rbee explain job-5d0c9c1e-6d6b-4a55-8f37-0d3f3f6a8a11" },
    { command: "rbee explain --dry-run --model rbee:tiny" }
  ])
)
