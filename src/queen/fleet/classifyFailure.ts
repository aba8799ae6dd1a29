import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import type { OperationError } from "../../job/errors.ts"
import { InvalidResponse } from "../forward/errors.ts"
import type { Outcome } from "../scheduler/messages.ts"

const decodeStatus = Schema.decodeUnknownOption(Schema.Struct({ status: Schema.Int }))

const toldToWait = new Set([429, 503])
const notImplemented = 501

/** Errors of a worker that died, does not answer its health check, or broke the protocol, and the same of its hive. */
const faults: ReadonlySet<string> = new Set([
  "ConnectionFailed",
  "HiveTimeout",
  "HiveUnreachable",
  "InvalidResponse",
  "WorkerFailed",
  "WorkerUnhealthy"
])

/** Errors of workers that are full, or that stopped in an orderly way. */
const busyErrors: ReadonlySet<string> = new Set([
  "HiveGaveUp",
  "HiveNotFound",
  "HiveUnreachable",
  "ModelDoesNotFit",
  "TooManyJobs",
  "WorkerNotFound",
  "WorkerNotReady"
])

/** Errors of the request itself: no worker could serve it, or it has had its answer. */
const clientErrors: ReadonlySet<string> = new Set([
  "CapabilityMissing",
  "ContextLengthExceeded",
  "ContextTooLong",
  "EngineNotInstalled",
  "EngineRefusesModel",
  "GgufError",
  "InvalidModelId",
  "JobCancelled",
  "LoadFailed",
  "LogFull",
  "ModelNotFound",
  "NoOtherWorker",
  "NotPlaceable",
  "QueueFull",
  "QueueTimeout",
  "WrongDevice",
  "WrongModel"
])

const outcomeOfStatus = (status: number): Outcome => {
  if (toldToWait.has(status)) return "busy"
  return status === notImplemented || (status >= 400 && status < 500) ? "client" : "engine"
}

/** Whose fault a failure is; see `Outcome`. An unknown error blames nobody. */
export const classifyFailure = (error: OperationError): Outcome => {
  const code = error.failure?.code ?? error._tag
  if (error instanceof InvalidResponse && toldToWait.has(error.status ?? 200)) return "busy"
  if (busyErrors.has(code)) return "busy"
  if (faults.has(code)) return "fault"
  if (clientErrors.has(code)) return "client"
  if (code !== "WorkerRefused") return "engine"
  const details = decodeStatus(error.failure?.details)
  return Option.match(details, { onNone: () => "engine", onSome: ({ status }) => outcomeOfStatus(status) })
}
