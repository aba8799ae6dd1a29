import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import type { OperationError } from "../../job/errors.ts"
import { InvalidResponse } from "../forward/errors.ts"
import type { Outcome } from "../scheduler/messages.ts"

const decodeStatus = Schema.decodeUnknownOption(Schema.Struct({ status: Schema.Int }))

const waitStatuses = new Set([429, 503])
const notImplemented = 501

/** Errors of a worker or hive that exited, does not answer, or violated the protocol. */
const faults: ReadonlySet<string> = new Set([
  "ConnectionFailed",
  "HiveTimeout",
  "HiveUnreachable",
  "InvalidResponse",
  "WorkerFailed",
  "WorkerUnhealthy"
])

/** Errors of workers and hives that have no room now, or that stopped regularly. */
const busyErrors: ReadonlySet<string> = new Set([
  "HiveGaveUp",
  "HiveNotFound",
  "HiveUnreachable",
  "Interrupted",
  "ModelDoesNotFit",
  "TooManyJobs",
  "WorkerNotFound",
  "WorkerNotReady"
])

/** Errors that would repeat on any worker, because of the request itself, and final answers of the scheduler. */
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
  if (waitStatuses.has(status)) return "busy"
  return status === notImplemented || (status >= 400 && status < 500) ? "client" : "engine"
}

/** Classifies a failure by its cause; see `Outcome`. An unknown error counts as that of a healthy engine. */
export const classifyFailure = (error: OperationError): Outcome => {
  const code = error.failure?.code ?? error._tag
  if (error instanceof InvalidResponse && waitStatuses.has(error.status ?? 200)) return "busy"
  if (busyErrors.has(code)) return "busy"
  if (faults.has(code)) return "fault"
  if (clientErrors.has(code)) return "client"
  if (code !== "WorkerRefused") return "engine"
  const details = decodeStatus(error.failure?.details)
  return Option.match(details, { onNone: () => "engine", onSome: ({ status }) => outcomeOfStatus(status) })
}
