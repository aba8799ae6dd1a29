import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import type { OperationError } from "../job/errors.ts"
import { InvalidResponse } from "./errors.ts"
import type { Outcome } from "./scheduler/messages.ts"

const decodeStatus = Schema.decodeUnknownOption(Schema.Struct({ status: Schema.Int }))

const toldToWait = new Set([429, 503])

/** Errors of hives that are the request's own fault: another worker would say the same. */
const clientErrors: ReadonlySet<string> = new Set([
  "ContextLengthExceeded",
  "InvalidModelId",
  "JobCancelled",
  "LogFull",
  "ModelNotFound",
  "NotPlaceable",
  "QueueFull",
  "QueueTimeout",
  "LoadFailed",
  "WrongModel"
])

/** Errors of workers that are full, or gone in an orderly way. */
const busyErrors: ReadonlySet<string> = new Set([
  "HiveGaveUp",
  "HiveNotFound",
  "ModelDoesNotFit",
  "TooManyJobs",
  "WorkerNotFound",
  "WorkerNotReady"
])

const outcomeOfStatus = (status: number): Outcome => {
  if (toldToWait.has(status)) return "busy"
  return status >= 400 && status < 500 ? "client" : "fault"
}

/** Whose fault a failure is: only what is the worker's counts against it. */
export const outcomeOf = (error: OperationError): Outcome => {
  const code = error.failure?.code ?? error._tag
  if (error instanceof InvalidResponse && toldToWait.has(error.status ?? 200)) return "busy"
  if (clientErrors.has(code)) return "client"
  if (busyErrors.has(code)) return "busy"
  if (code !== "WorkerRefused") return "fault"
  const details = decodeStatus(error.failure?.details)
  return Option.match(details, { onNone: () => "fault", onSome: ({ status }) => outcomeOfStatus(status) })
}
