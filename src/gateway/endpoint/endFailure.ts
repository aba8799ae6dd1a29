import { endError } from "../../job/endError.ts"
import type { LoggedEvent } from "../../job/log/JobEvent.ts"
import { fromFailure } from "./failures.ts"
import type { GatewayError } from "./GatewayError.ts"

const cancelled: GatewayError = fromFailure({
  code: "JobCancelled",
  message: "The request was cancelled by another client"
})

/** The failure that the client receives for the end of its job; undefined if the job is done. */
export const endFailure = (end: LoggedEvent): GatewayError | undefined => {
  const error = endError(end)
  if (error === undefined) return undefined
  return error._tag === "JobCancelled" ? cancelled : fromFailure(error.failure)
}
