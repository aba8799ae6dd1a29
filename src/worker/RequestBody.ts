import * as ByteSize from "effect/ByteSize"
import * as Effect from "effect/Effect"
import * as HttpIncomingMessage from "effect/http/HttpIncomingMessage"
import * as HttpServerRequest from "effect/http/HttpServerRequest"
import * as Predicate from "effect/Predicate"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import * as SchemaIssue from "effect/SchemaIssue"
import type { Engine } from "./Engine.ts"
import { BadRequest } from "./errors.ts"
import type { Sampling } from "./Generator.ts"
import { ChatRequest, CompletionRequest, EmbeddingRequest, unsupportedField } from "./Wire.ts"

const maxBody = ByteSize.bytes(16_000_000)

const toIssues = SchemaIssue.makeFormatterStandardSchemaV1()

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
    Effect.mapError(decode(body), ({ issue }) => {
      const [first] = toIssues(issue).issues
      const param = first?.path?.map(String).join(".") ?? "(body)"
      return new BadRequest({
        reason: `'${param}': ${first?.message ?? "not understood"}`,
        param,
        code: "invalid_value"
      })
    })
  )
}

/** The body of the request at hand, of at most 16 MB; BadRequest names the field that is wrong. */
export const readCompletion = reader(CompletionRequest)

/** As readCompletion. */
export const readChat = reader(ChatRequest)

/** As readCompletion. */
export const readEmbedding = reader(EmbeddingRequest)

const schemaMissing = new BadRequest({
  reason: "'response_format.json_schema' is needed with the type json_schema",
  param: "response_format",
  code: "invalid_value"
})

const grammarOf = (engine: Engine["Service"], format: CompletionRequest["response_format"]) => {
  const { json_schema: given, type } = format ?? { type: "text" }
  if (type === "text") return Effect.void
  if (type === "json_object") return engine.grammar({ type: "object" }, true)
  return given === undefined || given === null
    ? Effect.fail(schemaMissing)
    : engine.grammar(given.schema, given.strict === true)
}

const stopsOf = (stop: CompletionRequest["stop"]) =>
  stop === undefined || stop === null ? [] : typeof stop === "string" ? [stop] : stop

const logprobsOf = ({ logprobs, ...request }: CompletionRequest | ChatRequest) => {
  if (typeof logprobs === "number") return logprobs
  const top = "top_logprobs" in request ? request.top_logprobs : undefined
  return logprobs === true ? (top ?? 0) : undefined
}

/** How the request wants its tokens chosen. BadRequest where the engine cannot do so. */
export const samplingOf = Effect.fnUntraced(function* (
  engine: Engine["Service"],
  request: CompletionRequest | ChatRequest,
  maxTokens: number
) {
  const grammar = yield* grammarOf(engine, request.response_format)
  const sampling: Sampling = {
    maxTokens,
    temperature: request.temperature ?? 1,
    topP: request.top_p ?? 1,
    topK: request.top_k ?? 40,
    minP: request.min_p ?? 0,
    presencePenalty: request.presence_penalty ?? 0,
    frequencyPenalty: request.frequency_penalty ?? 0,
    seed: request.seed ?? undefined,
    stop: stopsOf(request.stop),
    choices: request.n ?? 1,
    grammar: grammar ?? undefined,
    logprobs: logprobsOf(request)
  }
  return sampling
})
