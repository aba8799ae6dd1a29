import * as HttpApiSchema from "effect/http-api/HttpApiSchema"
import * as OpenApi from "effect/http-api/OpenApi"
import * as Schema from "effect/Schema"
import { failureStatuses } from "./failures.ts"

/** An object of which only some fields are declared. */
export const open = <Fields extends Schema.Struct.Fields>(fields: Fields) =>
  Schema.StructWithRest(Schema.Struct(fields), [Schema.Record(Schema.String, Schema.Unknown)])

/** The body of a response of server-sent events. */
export const eventStream = HttpApiSchema.StreamUint8Array({ contentType: "text/event-stream" })

/** The body of a response of JSON lines. */
export const jsonLines = HttpApiSchema.StreamUint8Array({ contentType: "application/x-ndjson" })

/** The errors of an API's endpoints: one body for every status of a failure. */
export const errorsOf = <Body extends Schema.Top>(body: Body) =>
  failureStatuses.map((status) => body.annotate({ httpApiStatus: status }))

/** The documentation of an endpoint in the OpenAPI document. */
export const described = (summary: string, description?: string) =>
  OpenApi.annotations({ summary, description })
