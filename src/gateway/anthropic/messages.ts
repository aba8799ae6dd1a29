import * as Result from "effect/Result"
import { promptTokensIn } from "../../http/engineErrors.ts"
import { sseFrame } from "../../http/SseFrame.ts"
import { type ChoicePiece, type EngineUsage, tokensOf } from "../../job/view/EngineChunk.ts"
import { ChoiceWriter } from "../endpoint/ChoiceWriter.ts"
import type { ResponseContext, Body, Endpoint, EndpointRequest, Reading } from "../endpoint/Endpoint.ts"
import type { EngineAnswer } from "../endpoint/EngineAnswer.ts"
import type { GatewayError } from "../endpoint/GatewayError.ts"
import { definedFields, parsedArguments } from "../endpoint/reading.ts"
import { anthropicFormat } from "./format.ts"
import { conversation, readCount, readMessages } from "./request.ts"

const stopReasons: { readonly [finish: string]: string } = {
  stop: "end_turn",
  length: "max_tokens",
  tool_calls: "tool_use",
  function_call: "tool_use",
  content_filter: "refusal"
}

/** The reason why an answer ended. Only a stop text of the request counts as a stop sequence, not the engine's end-of-turn text. */
const ending = (finish: string, stop: string | undefined, stops: ReadonlyArray<string>) =>
  finish === "stop" && stop !== undefined && stops.includes(stop)
    ? { stop_reason: "stop_sequence", stop_sequence: stop }
    : { stop_reason: stopReasons[finish] ?? "end_turn", stop_sequence: null }

const usageOf = (usage: EngineUsage | undefined) => {
  const { cached, completion, prompt } = tokensOf(usage)
  return {
    // Anthropic counts cached tokens separately; OpenAI includes them in the prompt tokens.
    input_tokens: Math.max(0, prompt - cached),
    output_tokens: completion,
    cache_creation_input_tokens: 0,
    cache_read_input_tokens: cached
  }
}

const head = ({ jobId, model }: ResponseContext) => ({
  id: `msg_${jobId}`,
  type: "message",
  role: "assistant",
  model
})

// Clients refer to a call by its id, so each call needs one.
const callId = (id: string | undefined, { jobId }: ResponseContext, index: number) =>
  id || `toolu_${jobId}_${index}`

const completeMessage =
  (stops: ReadonlyArray<string>) =>
  ({ choices: [choice], usage }: EngineAnswer, context: ResponseContext) => ({
    ...head(context),
    content: [
      ...(choice.reasoning === "" ? [] : [{ type: "thinking", thinking: choice.reasoning, signature: "" }]),
      ...(choice.text === "" ? [] : [{ type: "text", text: choice.text }]),
      ...choice.toolCalls.map(({ arguments: json, id, name }, index) => ({
        type: "tool_use",
        id: callId(id, context, index),
        name,
        input: parsedArguments(json)
      }))
    ],
    ...ending(choice.finishReason, choice.stop, stops),
    usage: usageOf(usage)
  })

const event = (type: string, fields: object) => sseFrame(JSON.stringify({ type, ...fields }), type)

/** Writes the events of a message: content blocks in sequence, each with a start and a stop event. */
class MessageWriter extends ChoiceWriter {
  readonly #stops: ReadonlyArray<string>
  #index = -1
  /** The kind of the open block; for a tool call it includes the index. */
  #open: string | undefined
  #stop: string | undefined

  constructor(context: ResponseContext, stops: ReadonlyArray<string>) {
    super(context)
    this.#stops = stops
  }

  failed(failure: GatewayError) {
    return sseFrame(JSON.stringify(anthropicFormat.error(failure)), "error")
  }

  protected start() {
    return event("message_start", {
      message: {
        ...head(this.context),
        content: [],
        stop_reason: null,
        stop_sequence: null,
        usage: usageOf(undefined)
      }
    })
  }

  protected piece({ reasoning, stop, text, toolCalls }: ChoicePiece) {
    let output = ""
    if (reasoning !== "") {
      output += this.#openBlock("thinking", { type: "thinking", thinking: "", signature: "" })
      output += this.#delta({ type: "thinking_delta", thinking: reasoning })
    }
    if (text !== "") {
      output += this.#openBlock("text", { type: "text", text: "" })
      output += this.#delta({ type: "text_delta", text })
    }
    for (const { arguments: piece, id, index, name } of toolCalls) {
      const use = { type: "tool_use", id: callId(id, this.context, index), name: name ?? "", input: {} }
      output += this.#openBlock(`tool ${index}`, use)
      if (piece !== "") output += this.#delta({ type: "input_json_delta", partial_json: piece })
    }
    this.#stop = stop ?? this.#stop
    return output
  }

  protected finish() {
    const delta = ending(this.finishReason, this.#stop, this.#stops)
    return (
      this.#close() +
      event("message_delta", { delta, usage: usageOf(this.usage) }) +
      event("message_stop", {})
    )
  }

  #openBlock(kind: string, content_block: object) {
    if (this.#open === kind) return ""
    const closed = this.#close()
    this.#open = kind
    this.#index++
    return closed + event("content_block_start", { index: this.#index, content_block })
  }

  #delta(delta: object) {
    return event("content_block_delta", { index: this.#index, delta })
  }

  #close() {
    if (this.#open === undefined) return ""
    this.#open = undefined
    return event("content_block_stop", { index: this.#index })
  }
}

function* readMessage(body: Body): Reading<EndpointRequest> {
  const request = yield* readMessages(body)
  const { max_tokens, model, stop_sequences: stop, stream, temperature, top_k, top_p } = request
  const { fields, notes } = yield* conversation(request)
  const stops = stop ?? []
  return {
    model,
    notes,
    api: "chat/completions",
    body: definedFields({ ...fields, max_tokens, stop, temperature, top_k, top_p }),
    reply:
      stream === true
        ? {
            _tag: "Stream",
            contentType: "text/event-stream",
            idle: event("ping", {}),
            writer: (context) => new MessageWriter(context, stops)
          }
        : { _tag: "Complete", toJson: completeMessage(stops) }
  }
}

/** `POST /v1/messages`. */
export const messagesEndpoint: Endpoint = {
  path: "/v1/messages",
  format: anthropicFormat,
  fieldNames: { stop: "stop_sequences", response_format: "output_config.format" },
  read: (body) => Result.gen(() => readMessage(body))
}

function* readCounting(body: Body): Reading<EndpointRequest> {
  const request = yield* readCount(body)
  const { fields, notes } = yield* conversation(request)
  return {
    model: request.model,
    notes,
    api: "chat/completions",
    body: { ...fields, max_tokens: 1 },
    isCount: true,
    reply: {
      _tag: "Complete",
      toJson: ({ usage }) => ({ input_tokens: tokensOf(usage).prompt }),
      fromFailure: countIn
    }
  }
}

/** The token count in an engine's error about a prompt that exceeds its context. */
const countIn = ({ code, message }: GatewayError) => {
  const tokens = code === "ContextLengthExceeded" ? promptTokensIn(message) : undefined
  return tokens === undefined ? undefined : { input_tokens: tokens }
}

/**
 * `POST /v1/messages/count_tokens`: the engine counts the tokens by evaluating the prompt and generating one token, or in
 * its error about a prompt that exceeds its context.
 */
export const countTokensEndpoint: Endpoint = {
  path: "/v1/messages/count_tokens",
  format: anthropicFormat,
  fieldNames: { response_format: "output_config.format" },
  read: (body) => Result.gen(() => readCounting(body))
}
