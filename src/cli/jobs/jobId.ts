import * as Argument from "effect/cli/Argument"
import * as Schema from "effect/Schema"

/** The argument with a job's id. */
export const jobId = Argument.String("job").pipe(
  Argument.withSchema(
    Schema.String.check(
      Schema.isPattern(/^[A-Za-z0-9_-]{1,128}$/, { expected: "a job id, as in 'rbee jobs list'" })
    )
  ),
  Argument.withDescription("Job id (see 'rbee jobs list')")
)
