import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import type { Failure } from "../../job/log/JobEvent.ts"
import type { GatewayError } from "./GatewayError.ts"

/** The status of each error that is not a fault of a worker or of a hive. */
const statuses: { readonly [code: string]: number } = {
  AnswerLost: 502,
  ApiKeysUnreadable: 503,
  BodyTimeout: 408,
  BodyTooDeep: 400,
  BodyTooLarge: 413,
  CapabilityMissing: 400,
  ContextLengthExceeded: 400,
  DiskFull: 507,
  DownloadInterrupted: 502,
  DownloadNotFound: 404,
  DownloadUnauthorized: 403,
  FileNotReadable: 400,
  ConnectionFailed: 503,
  Forbidden: 403,
  GgufError: 502,
  HiveGaveUp: 503,
  HiveNotFound: 503,
  HostileFileName: 502,
  InvalidAnswer: 502,
  HiveTimeout: 503,
  HiveUnreachable: 503,
  InvalidModelDefinition: 400,
  InvalidModelId: 400,
  InvalidRequest: 400,
  InvalidResponse: 502,
  // What nginx says of a client that left: nobody asks again because of it.
  JobCancelled: 499,
  KeyForbidden: 403,
  KeyLimited: 429,
  LoadFailed: 503,
  ModelDoesNotFit: 503,
  ModelForbidden: 403,
  ModelInUse: 409,
  ModelIsSource: 409,
  ModelNotFound: 404,
  ModelNotRemovable: 409,
  ModelUnknown: 404,
  NoSuchFile: 400,
  NoHiveAnswers: 503,
  NotDownloadable: 400,
  NotFound: 404,
  NotPlaceable: 503,
  PrivateAddress: 403,
  QueueFull: 429,
  QueueTimeout: 503,
  RateLimited: 502,
  ServerFailed: 502,
  TooManyJobs: 503,
  TooManyRedirects: 502,
  Unauthorized: 401,
  UndecodableBody: 400,
  UnsupportedCoding: 415,
  WorkerFailed: 503,
  WorkerNotFound: 503,
  WorkerNotReady: 503,
  WorkerSilent: 504,
  WorkerUnhealthy: 503,
  WrongChecksum: 502,
  WrongSize: 502
}

/** The statuses that a failure may have. */
export const failureStatuses: ReadonlyArray<number> = [...new Set([...Object.values(statuses), 500])].sort(
  (left, right) => left - right
)

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

// A worker that answers with a status of its own says what is wrong; one that failed in the middle said 200.
const workersStatus = (status: number) => (status >= 400 ? status : 502)

const busyFor = 2

/** What a job's failure means for a client. */
export const fromFailure = ({ code, details, message }: Failure): GatewayError => {
  const {
    engine,
    retry_after,
    status: worker
  } = Option.getOrElse(readDetails(details), (): typeof Details.Type => ({}))
  const status = code === "WorkerRefused" ? workersStatus(worker ?? 502) : (statuses[code] ?? 500)
  const retryAfter = retry_after ?? (status === 429 || status === 503 ? busyFor : undefined)
  const said = engine === undefined ? {} : { engine, param: engine.param ?? undefined }
  return { status, code, message, retryAfter, ...said }
}

/** What an error means for a client. */
export const fromError = (error: {
  readonly _tag: string
  readonly message: string
  readonly failure?: Failure
  readonly param?: string
}): GatewayError => ({
  ...fromFailure(error.failure ?? { code: error._tag, message: error.message }),
  ...(error.param === undefined ? {} : { param: error.param })
})

/** A failure in which the field of the engine's body is called as the client calls it. */
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

/** An engine's own code and type, for formats that have no fields for them. */
export const engineWords = ({ engine }: GatewayError) => ({
  ...(engine?.code === undefined || engine.code === null ? {} : { code: engine.code }),
  ...(engine?.type === undefined || engine.type === null ? {} : { engine_type: engine.type })
})
