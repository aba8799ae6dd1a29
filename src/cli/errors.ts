import * as Data from "effect/Data"
import * as Runtime from "effect/Runtime"

/** The command could not do what it was asked; what went wrong has been printed. */
export class CommandFailed extends Data.TaggedError("CommandFailed")<{}> {
  override readonly [Runtime.errorExitCode] = 1
  override readonly [Runtime.errorReported] = true
}

/** The command was not typed right; its help has been printed. */
export class Usage extends Data.TaggedError("Usage")<{}> {
  override readonly [Runtime.errorExitCode] = 2
  override readonly [Runtime.errorReported] = true
}

/** What was typed parses and still makes no sense. */
export class BadInput extends Data.TaggedError("BadInput")<{ readonly message: string }> {}

/** A daemon that should run does not, or something else is in its place. */
export class DaemonProblem extends Data.TaggedError("DaemonProblem")<{ readonly message: string }> {}

/** The job failed or was cancelled. */
export class JobEndedBadly extends Data.TaggedError("JobEndedBadly")<{ readonly message: string }> {}
