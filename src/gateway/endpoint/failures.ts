import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import { declaredStatus } from "../../http/errorStatus.ts"
import type { Failure } from "../../job/log/JobEvent.ts"
import { failureStatus } from "../../operation/failureStatus.ts"
import type { GatewayError } from "./GatewayError.ts"

const statusOfCode = new Map<string, number>(Object.entries(failureStatus))

const internalError = 500

/** The HTTP statuses of all errors and failures. */
export const failureStatuses: ReadonlyArray<number> = [
  ...new Set([internalError, 401, 408, 413, 415, 429, ...statusOfCode.values()])
].sort((left, right) => left - right)

const Details = Schema.Struct({
  status: Schema.optionalKey(Schema.Int),
  retry_after: Schema.optionalKey(Schema.Finite),
  engine: Schema.optionalKey(
    Schema.Struct({
      type: Schema.NullOr(Schema.String),
      param: Schema.NullOr(Schema.String),
      code: Schema.NullOr(Schema.String)
    })
  )
})
const readDetails = Schema.decodeUnknownOption(Details)

// The status of a worker's error response; a worker that failed in the middle of an answer had sent 200 before.
const workersStatus = (status: number) => (status >= 400 ? status : 502)

const retryAfterSeconds = 2

/** Translates a job's failure; `declared` is the status of the error's class, if known. */
export const fromFailure = ({ code, details, message }: Failure, declared?: number): GatewayError => {
  const {
    engine,
    retry_after,
    status: worker
  } = Option.getOrElse(readDetails(details), (): typeof Details.Type => ({}))
  const status =
    declared ??
    (code === "WorkerRefused" ? workersStatus(worker ?? 502) : (statusOfCode.get(code) ?? internalError))
  const retryAfter = retry_after ?? (status === 429 || status === 503 ? retryAfterSeconds : undefined)
  const engineFields = engine === undefined ? {} : { engine, param: engine.param ?? undefined }
  return { status, code, message, retryAfter, ...engineFields }
}

/** An error that an endpoint reports to its client. */
export interface ReportedError {
  readonly _tag: string
  readonly message: string
  /** The failure to report instead of the tag and the message. */
  readonly failure?: Failure
  /** The invalid field. */
  readonly param?: string
}

/** Translates an error; its status is that of its class. */
export const fromError = (error: ReportedError): GatewayError => ({
  ...fromFailure(error.failure ?? { code: error._tag, message: error.message }, declaredStatus(error)),
  ...(error.param === undefined ? {} : { param: error.param })
})

/** Replaces the engine's name of the invalid field with the API's name. */
export const withFieldNames = (
  failure: GatewayError,
  names: Readonly<Record<string, string>> = {}
): GatewayError => {
  const { message, param = "" } = failure
  const [field = ""] = param.split(".", 1)
  const name = Object.hasOwn(names, field) ? names[field] : undefined
  return name === undefined
    ? failure
    : {
        ...failure,
        param: `${name}${param.slice(field.length)}`,
        message: message.replace(`'${field}`, `'${name}`)
      }
}

/** The engine's own code and type, for formats without fields for them. */
export const engineErrorFields = ({ engine }: GatewayError) => ({
  ...(engine?.code === undefined || engine.code === null ? {} : { code: engine.code }),
  ...(engine?.type === undefined || engine.type === null ? {} : { engine_type: engine.type })
})
