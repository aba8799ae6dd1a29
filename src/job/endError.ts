import * as Option from "effect/Option"
import { JobCancelled, JobFailed } from "./errors.ts"
import { type EventKind, readCancelled, readFailure } from "./log/JobEvent.ts"

/** The error that a job's end event reports; undefined for `done`. */
export const endError = (end: { readonly kind: EventKind; readonly json: string }) => {
  if (end.kind === "done") return undefined
  if (end.kind === "cancelled") {
    const cancelled = Option.getOrUndefined(readCancelled(end.json))
    return new JobCancelled({ confirmed: cancelled?.confirmed ?? false })
  }
  const failure = readFailure(end.json)
  if (Option.isNone(failure)) return new JobFailed({ code: "JobFailed", sentence: "The job failed" })
  const { code, details, message } = failure.value.error
  return new JobFailed({ code, sentence: message, ...(details === undefined ? {} : { details }) })
}
