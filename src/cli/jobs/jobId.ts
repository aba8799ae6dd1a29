import * as Argument from "effect/cli/Argument"
import * as Schema from "effect/Schema"

/** The id of a job, as an argument. */
export const jobId = Argument.String("job").pipe(
  Argument.withSchema(
    Schema.String.check(Schema.isPattern(/^[A-Za-z0-9_-]{1,128}$/, { expected: "the id of a job" }))
  ),
  Argument.withDescription("The job's id")
)
