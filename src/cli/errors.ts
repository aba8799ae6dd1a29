import * as Data from "effect/Data"
import * as Runtime from "effect/Runtime"

/** The command failed; the message has been printed. */
export class CommandFailed extends Data.TaggedError("CommandFailed")<{}> {
  override readonly [Runtime.errorExitCode] = 1
  override readonly [Runtime.errorReported] = true
}

/** The command line is invalid; its help or a message has been printed. */
export class Usage extends Data.TaggedError("Usage")<{}> {
  override readonly [Runtime.errorExitCode] = 2
  override readonly [Runtime.errorReported] = true
}

/** The command line parses, but a value or a combination of values is invalid. */
export class BadInput extends Data.TaggedError("BadInput")<{ readonly message: string }> {}

/** A daemon is not running, or another process serves its address. */
export class DaemonProblem extends Data.TaggedError("DaemonProblem")<{ readonly message: string }> {}

/** The job failed or was cancelled. */
export class JobEndedBadly extends Data.TaggedError("JobEndedBadly")<{
  /** The code of the job's error. */
  readonly code: string
  readonly message: string
}> {}
