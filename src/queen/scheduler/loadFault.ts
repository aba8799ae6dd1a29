import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import type { OperationError } from "../../job/errors.ts"
import type { LoadFault } from "./messages.ts"

const fullErrors: ReadonlySet<string> = new Set(["ModelDoesNotFit", "TooManyJobs"])

/** Errors of the hive or its connection, which do not depend on the model. */
const hiveErrors: ReadonlySet<string> = new Set([
  "ConnectionFailed",
  "HiveNotFound",
  "HiveTimeout",
  "HiveUnreachable",
  "InvalidResponse",
  "JobCancelled",
  "StateNotWritable"
])

const decodeDetails = Schema.decodeUnknownOption(Schema.Struct({ killed: Schema.Boolean }))

/** The cause of a failed load. */
export const loadFaultOf = ({ _tag, failure }: OperationError): LoadFault => {
  const code = failure?.code ?? _tag
  if (fullErrors.has(code)) return "full"
  if (hiveErrors.has(code)) return "hive"
  const isKilled = Option.exists(decodeDetails(failure?.details), ({ killed }) => killed)
  return code === "WorkerFailed" && isKilled ? "killed" : "model"
}
