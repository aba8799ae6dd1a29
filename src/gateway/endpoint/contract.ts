import * as HttpApiSchema from "effect/http-api/HttpApiSchema"
import * as OpenApi from "effect/http-api/OpenApi"
import * as Schema from "effect/Schema"
import { failureStatuses } from "./failures.ts"

/** An object of which only some fields are declared. */
export const open = <Fields extends Schema.Struct.Fields>(fields: Fields) =>
  Schema.StructWithRest(Schema.Struct(fields), [Schema.Record(Schema.String, Schema.Unknown)])

/** The body of an answer that is written as events. */
export const eventStream = HttpApiSchema.StreamUint8Array({ contentType: "text/event-stream" })

/** The body of an answer that is written as lines of JSON. */
export const jsonLines = HttpApiSchema.StreamUint8Array({ contentType: "application/x-ndjson" })

/** The errors of an API's endpoints: one body, with each status that a failure may have. */
export const errorsOf = <Body extends Schema.Top>(body: Body) =>
  failureStatuses.map((status) => body.annotate({ httpApiStatus: status }))

/** What the document says of an endpoint. */
export const described = (summary: string, description?: string) =>
  OpenApi.annotations({ summary, description })
