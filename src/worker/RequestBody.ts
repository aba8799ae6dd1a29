import * as ByteSize from "effect/ByteSize"
import * as Effect from "effect/Effect"
import * as HttpIncomingMessage from "effect/http/HttpIncomingMessage"
import * as HttpServerRequest from "effect/http/HttpServerRequest"
import * as Predicate from "effect/Predicate"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import * as SchemaIssue from "effect/SchemaIssue"
import { BadRequest } from "./errors.ts"
import { ChatRequest, CompletionRequest, EmbeddingRequest, unsupportedField } from "./Wire.ts"

const maxBody = ByteSize.bytes(16_000_000)

const required = "is required"

const toIssues = SchemaIssue.makeFormatterStandardSchemaV1({
  leafHook: (issue) => (issue._tag === "MissingKey" ? required : SchemaIssue.defaultLeafHook(issue))
})

const texts = "Expected a text, a list of texts, or token ids in a list or in lists"

/** Fields with several forms: when several of the forms fail, the message names all forms. */
const forms: { readonly [field: string]: string } = { input: texts, prompt: texts }

type Issues = ReturnType<typeof toIssues>["issues"]

const problemOf = ([first, ...others]: Issues) => {
  const path = first?.path?.map(String) ?? []
  const form = others.length === 0 ? undefined : forms[path[0] ?? ""]
  const param = form === undefined ? path.join(".") || "(body)" : (path[0] ?? "")
  const message = form ?? first?.message ?? "not understood"
  return {
    param,
    reason:
      message === required ? `'${param}' ${required}` : `'${param}': ${message.replaceAll(" | null", "")}`
  }
}

const unsupportedReason = (field: string) =>
  field === "tools" || field === "functions"
    ? `'${field}' is not supported: the built-in engine has no tool calls; the engines llama-server and vLLM have them`
    : `'${field}' is not supported by this worker with this value`

const readJson = Effect.gen(function* () {
  const request = yield* HttpServerRequest.HttpServerRequest
  const text = yield* Effect.provideService(request.text, HttpIncomingMessage.MaxBodySize, maxBody)
  const parsed = Result.try((): unknown => JSON.parse(text))
  if (Result.isFailure(parsed) || !Predicate.isReadonlyObject(parsed.success)) {
    return yield* new BadRequest({ reason: "The body must be a JSON object", code: "invalid_json" })
  }
  const field = unsupportedField(parsed.success)
  if (field === undefined) return parsed.success
  return yield* new BadRequest({
    reason: unsupportedReason(field),
    param: field,
    code: "unsupported_parameter"
  })
})

const reader = <A>(schema: Schema.ConstraintDecoder<A>) => {
  const decode = Schema.decodeUnknownEffect(schema)
  return Effect.flatMap(readJson, (body) =>
    Effect.mapError(
      decode(body),
      ({ issue }) => new BadRequest({ ...problemOf(toIssues(issue).issues), code: "invalid_value" })
    )
  )
}

/** Reads the body of the current request, at most 16 MB; BadRequest names the invalid field. */
export const readCompletion = reader(CompletionRequest)

/** Like `readCompletion`. */
export const readChat = reader(ChatRequest)

/** Like `readCompletion`. */
export const readEmbedding = reader(EmbeddingRequest)
