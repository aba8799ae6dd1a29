import * as Predicate from "effect/Predicate"
import * as Schema from "effect/Schema"

/** A part of a tool call. Each part has the next piece of the arguments, which are JSON text. */
export interface ToolCallPiece {
  readonly index: number
  readonly id: string | undefined
  readonly name: string | undefined
  readonly arguments: string
}

/** The part of one answer that a chunk contains. */
export interface ChoicePiece {
  readonly index: number
  readonly text: string
  /** The model's reasoning before its answer, if the engine separates the two. */
  readonly reasoning: string
  readonly toolCalls: ReadonlyArray<ToolCallPiece>
  /** `stop`, `length`, `tool_calls`, …, on the last part. */
  readonly finishReason: string | undefined
  /** The stop sequence that ended the answer, if the engine reports it. */
  readonly stop: string | undefined
  readonly logprobs: unknown
}

/** The token counts of a request, with the engine's field names. */
export interface EngineUsage {
  readonly [field: string]: Schema.Json
}

/** The content of a chunk of `/v1/chat/completions` or `/v1/completions`. */
export interface EngineChunk {
  readonly choices: ReadonlyArray<ChoicePiece>
  readonly usage: EngineUsage | undefined
}

const isUsage = Schema.is(Schema.Record(Schema.String, Schema.Json))

const textOf = (value: unknown) => (typeof value === "string" ? value : "")
const nameOf = (value: unknown) => (typeof value === "string" && value !== "" ? value : undefined)
const indexOf = (value: unknown) => (typeof value === "number" ? value : 0)
const objectsOf = (value: unknown) =>
  Array.isArray(value) ? value.filter((item) => Predicate.isReadonlyObject(item)) : []

const readToolCall = (call: { readonly [field: string]: unknown }): ToolCallPiece => {
  const called = Predicate.isReadonlyObject(call["function"]) ? call["function"] : {}
  return {
    index: indexOf(call["index"]),
    id: nameOf(call["id"]),
    name: nameOf(called["name"]),
    arguments: textOf(called["arguments"])
  }
}

const readChoice = (choice: { readonly [field: string]: unknown }): ChoicePiece => {
  const delta = Predicate.isReadonlyObject(choice["delta"]) ? choice["delta"] : choice
  return {
    index: indexOf(choice["index"]),
    text: textOf(delta["content"] ?? delta["text"]),
    reasoning: textOf(delta["reasoning_content"] ?? delta["reasoning"]),
    toolCalls: objectsOf(delta["tool_calls"]).map(readToolCall),
    finishReason: nameOf(choice["finish_reason"]),
    // vLLM and the built-in engine send `stop_reason`, SGLang `matched_stop`. A number there is the id of a token.
    stop: nameOf(choice["stop_reason"] ?? choice["matched_stop"]),
    logprobs: choice["logprobs"] ?? null
  }
}

/** Reads a chunk's data; undefined if it is not a JSON object. */
export const readChunk = (data: string): EngineChunk | undefined => {
  let chunk: unknown
  try {
    chunk = JSON.parse(data)
  } catch {
    return undefined
  }
  if (!Predicate.isReadonlyObject(chunk)) return undefined
  const { choices, usage } = chunk
  return {
    choices: objectsOf(choices).map(readChoice),
    usage: Predicate.isReadonlyObject(usage) && isUsage(usage) ? usage : undefined
  }
}

const tokensIn = (usage: { readonly [field: string]: unknown } | undefined, field: string) => {
  const count = usage?.[field]
  return typeof count === "number" ? count : 0
}

/** The token counts of a usage; 0 for those that the engine does not report. */
export const tokensOf = (usage: EngineUsage | undefined) => {
  const details = usage?.["prompt_tokens_details"]
  const written = usage?.["completion_tokens_details"]
  return {
    prompt: tokensIn(usage, "prompt_tokens"),
    completion: tokensIn(usage, "completion_tokens"),
    cached: tokensIn(Predicate.isReadonlyObject(details) ? details : undefined, "cached_tokens"),
    reasoning: tokensIn(Predicate.isReadonlyObject(written) ? written : undefined, "reasoning_tokens")
  }
}

/** The text that a person sees: that of the chunk's first answer, or an empty text. */
export const shownText = ({ choices }: EngineChunk) => choices.find(({ index }) => index === 0)?.text ?? ""
