import * as Effect from "effect/Effect"
import type { Engine } from "./Engine.ts"
import { BadRequest } from "./errors.ts"
import type { Sampling } from "./Generator.ts"
import type { ChatRequest, CompletionRequest } from "./Wire.ts"

type SamplingRequest = CompletionRequest | ChatRequest

const schemaMissing = new BadRequest({
  reason: "'response_format.json_schema' is required for the type json_schema",
  param: "response_format",
  code: "invalid_value"
})

const grammarOf = (engine: Engine["Service"], format: SamplingRequest["response_format"]) => {
  const { json_schema: named, schema: bare, type } = format ?? { type: "text" }
  if (type === "text") return Effect.void
  const schema = named?.schema ?? bare
  if (schema !== undefined && schema !== null) return engine.grammar(schema, named?.strict !== false)
  return type === "json_object" ? engine.grammar({ type: "object" }, true) : Effect.fail(schemaMissing)
}

// Clients send an empty stop string to mean none; it would end every answer at once.
const stopsOf = (stop: SamplingRequest["stop"]) =>
  (typeof stop === "string" ? [stop] : (stop ?? [])).flatMap((text) =>
    text === null || text === "" ? [] : [text]
  )

const logprobsOf = (request: SamplingRequest) => {
  const { logprobs } = request
  if (typeof logprobs === "number") return logprobs
  const top = "top_logprobs" in request ? request.top_logprobs : undefined
  return logprobs === true ? (top ?? 0) : undefined
}

const seeds = 2 ** 32

/** Reduces a seed to the engine's 32 bits, so that the same seed gives the same answer. */
const seedOf = (seed: number | null | undefined) =>
  seed === undefined || seed === null || seed < 0 ? undefined : seed % seeds

const usualPenaltyWindow = 64
// OpenAI's penalties apply to the complete answer; few answers are longer.
const answerPenaltyWindow = 1024

const penaltiesOf = (request: SamplingRequest, contextSize: number) => {
  const repeat = request.repeat_penalty ?? request.repetition_penalty ?? 1
  const usual = repeat === 1 ? answerPenaltyWindow : usualPenaltyWindow
  const last = request.repeat_last_n ?? usual
  return {
    repeatPenalty: repeat,
    presencePenalty: request.presence_penalty ?? 0,
    frequencyPenalty: request.frequency_penalty ?? 0,
    penaltyWindow: last < 0 ? contextSize : Math.min(last, contextSize)
  }
}

const maxTokensOf = (requested: number | null | undefined) =>
  requested === undefined || requested === null || requested < 0 ? Number.POSITIVE_INFINITY : requested

/**
 * The sampling parameters of a request. Fails with BadRequest for a schema that the engine cannot enforce. Without `maxTokens`,
 * or with a negative one, only the context limits an answer.
 */
export const samplingOf = Effect.fnUntraced(function* (
  engine: Engine["Service"],
  request: SamplingRequest,
  maxTokens: number | null | undefined
) {
  const grammar = yield* grammarOf(engine, request.response_format)
  const sampling: Sampling = {
    ...penaltiesOf(request, engine.contextSize),
    maxTokens: maxTokensOf(maxTokens),
    isExact: "exact_max_tokens" in request && request.exact_max_tokens === true,
    temperature: request.temperature ?? 1,
    topP: request.top_p ?? 1,
    topK: Math.max(0, Math.min(request.top_k ?? 40, maxTopK)),
    minP: request.min_p ?? 0,
    seed: seedOf(request.seed),
    stop: stopsOf(request.stop),
    choices: request.n ?? 1,
    grammar: grammar ?? undefined,
    logprobs: logprobsOf(request)
  }
  return sampling
})

const maxTopK = 2 ** 31 - 1
