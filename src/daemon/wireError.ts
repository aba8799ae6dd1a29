import * as HttpApiSchema from "effect/http-api/HttpApiSchema"
import * as HttpServerResponse from "effect/http/HttpServerResponse"
import * as Predicate from "effect/Predicate"
import * as Schema from "effect/Schema"
import * as SchemaTransformation from "effect/SchemaTransformation"
import { statusOf, statusOfError } from "../http/errorStatus.ts"
import { redact } from "../http/Redaction.ts"

/** An error that an endpoint reports; its tag is the `code` on the wire. */
export interface Reported<Tag extends string = string> {
  readonly _tag: Tag
  readonly message: string
  readonly details?: Schema.Json
  /** Headers that the error adds to the response. */
  readonly headers?: Readonly<Record<string, string>>
}

/** The class of an error that an endpoint reports; its annotation `httpApiStatus` is the status of the response. */
interface ReportedClass<Tag extends string> extends Schema.Top {
  readonly fields: { readonly _tag: Schema.tag<Tag> }
  readonly Type: Reported<Tag>
}

const unavailable = 503
const retryAfterSeconds = 2

const bodyOf = <Tag extends string>({ _tag, details, message }: Reported<Tag>) => ({
  error: { code: _tag, message: redact(message), ...(details === undefined ? {} : { details }) }
})

const retryAfter = { "retry-after": String(retryAfterSeconds) }

const headersOf = ({ headers = {} }: Reported, status: number): Readonly<Record<string, string>> =>
  status === unavailable ? { ...retryAfter, ...headers } : headers

/** The response to an error outside the endpoints of the API. */
export const errorResponse = (error: Reported) => {
  const status = statusOfError(error)
  return HttpServerResponse.jsonUnsafe(bodyOf(error), { status, headers: headersOf(error, status) })
}

const contractOf = <Tag extends string>(errorClass: ReportedClass<Tag>) => {
  const status = statusOf(errorClass)
  const tag = errorClass.fields._tag.schema.literal
  const body = Schema.Struct({
    error: Schema.Struct({
      code: Schema.Literal(tag),
      message: Schema.String,
      details: Schema.optionalKey(Schema.Json)
    })
  }).annotate({ identifier: tag, httpApiStatus: status })
  const isReported = (value: unknown): value is Reported<Tag> =>
    Predicate.isTagged(value, tag) && Predicate.hasProperty(value, "message")
  const decode = ({ error }: typeof body.Type): Reported<Tag> => ({
    _tag: error.code,
    message: error.message,
    ...(error.details === undefined ? {} : { details: error.details })
  })
  return { body, decode, reported: Schema.declare(isReported), status }
}

/**
 * The schema with which an endpoint declares the errors of a class: `{"error":{"code","message","details"?}}` with the
 * status of the class. A client decodes such an error to its tag, message and details.
 */
export const wireError = <Tag extends string>(errorClass: ReportedClass<Tag>) => {
  const { body, decode, reported, status } = contractOf(errorClass)
  return body.pipe(
    Schema.decodeTo(reported, SchemaTransformation.transform({ decode, encode: bodyOf })),
    HttpApiSchema.status(status)
  )
}

/** Like `wireError`, for a class whose errors add a header, such as `retry-after` with the status 503. */
export const wireErrorWith = <Tag extends string, Name extends string>(
  header: Name,
  errorClass: ReportedClass<Tag>
) => {
  const { body, decode, reported, status } = contractOf(errorClass)
  return reported.pipe(
    HttpApiSchema.encodeToWithHeaders(
      { body, headers: { [header]: Schema.optionalKey(Schema.String) } },
      {
        decode: (response) => decode(response.body),
        encode: (error) => ({ body: bodyOf(error), headers: headersOf(error, status) })
      }
    )
  )
}
