import * as Result from "effect/Result"
import {
  type ChoicePiece,
  type EngineUsage,
  readChunk,
  tokensOf,
  type ToolCallPiece
} from "../../job/EngineChunk.ts"
import { type AnswerWriter, sseFrame } from "../AnswerWriter.ts"
import type { About, Body, Door, Exchange, GatewayFailure, Reading } from "../Door.ts"
import type { EngineAnswer, ToolCall } from "../EngineAnswer.ts"
import { openAiError, openAiFormat } from "./format.ts"
import { engineBody, readResponses, type ResponsesRequest } from "./responsesRequest.ts"

const usageOf = (usage: EngineUsage | undefined) => {
  const { cached, completion, prompt } = tokensOf(usage)
  return {
    input_tokens: prompt,
    input_tokens_details: { cached_tokens: cached, cache_write_tokens: 0 },
    output_tokens: completion,
    output_tokens_details: { reasoning_tokens: 0 },
    total_tokens: prompt + completion
  }
}

/** Every field of a response that does not change while it is written. */
const head = (request: ResponsesRequest, { askedAt, jobId, model }: About) => ({
  id: `resp_${jobId}`,
  object: "response",
  created_at: Math.floor(askedAt / 1000),
  model,
  background: false,
  error: null,
  incomplete_details: null,
  instructions: request.instructions ?? null,
  max_output_tokens: request.max_output_tokens ?? null,
  metadata: request.metadata ?? {},
  parallel_tool_calls: request.parallel_tool_calls ?? true,
  previous_response_id: null,
  reasoning: { effort: null, summary: null },
  store: false,
  temperature: request.temperature ?? null,
  text: { format: request.text?.format ?? { type: "text" } },
  tool_choice: request.tool_choice ?? "auto",
  tools: request.tools ?? [],
  top_p: request.top_p ?? null,
  truncation: "disabled"
})

const textPart = (text: string) => ({ type: "output_text", text, annotations: [], logprobs: [] })

const messageItem = (id: string, status: string, content: ReadonlyArray<object>) => ({
  id,
  type: "message",
  role: "assistant",
  status,
  content
})

const callItem = (id: string, status: string, call: ToolCall) => ({
  id,
  type: "function_call",
  call_id: call.id,
  name: call.name,
  arguments: call.arguments,
  status
})

const ending = (finish: string) =>
  finish === "length"
    ? { status: "incomplete", incomplete_details: { reason: "max_output_tokens" } }
    : { status: "completed", incomplete_details: null }

const wholeResponse =
  (request: ResponsesRequest) =>
  ({ choices: [choice], usage }: EngineAnswer, about: About) => ({
    ...head(request, about),
    ...ending(choice.finishReason),
    output: [
      ...(choice.text === "" && choice.toolCalls.length > 0
        ? []
        : [messageItem(`msg_${about.jobId}`, "completed", [textPart(choice.text)])]),
      ...choice.toolCalls.map((call, index) => callItem(`fc_${index}_${about.jobId}`, "completed", call))
    ],
    usage: usageOf(usage)
  })

type Open =
  | { readonly _tag: "Message"; readonly id: string; text: string }
  | { readonly _tag: "Call"; readonly id: string; readonly number: number; call: ToolCall }

/** Writes the events of a response: its items one after the other, each opened, filled and closed. */
class ResponseWriter implements AnswerWriter {
  readonly #request: ResponsesRequest
  readonly #about: About
  readonly #output: Array<object> = []
  #sequence = 0
  #begun = false
  #open: Open | undefined
  #finish = "stop"
  #usage: EngineUsage | undefined

  constructor(request: ResponsesRequest, about: About) {
    this.#request = request
    this.#about = about
  }

  chunk(data: string) {
    const chunk = readChunk(data)
    if (chunk === undefined) return ""
    this.#usage = chunk.usage ?? this.#usage
    let text = this.#begin()
    for (const choice of chunk.choices) if (choice.index === 0) text += this.#piece(choice)
    return text
  }

  end() {
    const begun = this.#begin()
    // An answer without a word is a message without text.
    const said = this.#output.length === 0 && this.#open === undefined ? this.#openMessage() : ""
    const closed = this.#close()
    const { incomplete_details, status } = ending(this.#finish)
    const last = { status, incomplete_details, output: this.#output, usage: usageOf(this.#usage) }
    return begun + said + closed + this.#event(`response.${status}`, { response: this.#response(last) })
  }

  failed(failure: GatewayFailure) {
    const { code, message } = openAiError(failure)
    const last = { status: "failed", error: { code, message }, output: this.#output, usage: null }
    return this.#event("response.failed", { response: this.#response(last) })
  }

  #event(type: string, fields: object) {
    return sseFrame(JSON.stringify({ type, sequence_number: this.#sequence++, ...fields }), type)
  }

  #response(fields: object) {
    return { ...head(this.#request, this.#about), ...fields }
  }

  #begin() {
    if (this.#begun) return ""
    this.#begun = true
    const response = this.#response({ status: "in_progress", output: [], usage: null })
    return this.#event("response.created", { response }) + this.#event("response.in_progress", { response })
  }

  get #index() {
    return this.#output.length
  }

  #piece({ finishReason, text, toolCalls }: ChoicePiece) {
    let written = text === "" ? "" : this.#text(text)
    for (const piece of toolCalls) written += this.#call(piece)
    this.#finish = finishReason ?? this.#finish
    return written
  }

  #text(delta: string) {
    const opened = this.#open?._tag === "Message" ? "" : this.#close() + this.#openMessage()
    if (this.#open?._tag !== "Message") return opened
    this.#open.text += delta
    const where = { item_id: this.#open.id, output_index: this.#index, content_index: 0 }
    return opened + this.#event("response.output_text.delta", { ...where, delta, logprobs: [] })
  }

  #openMessage() {
    const id = `msg_${this.#index}_${this.#about.jobId}`
    this.#open = { _tag: "Message", id, text: "" }
    const where = { item_id: id, output_index: this.#index, content_index: 0 }
    return (
      this.#event("response.output_item.added", {
        output_index: this.#index,
        item: messageItem(id, "in_progress", [])
      }) + this.#event("response.content_part.added", { ...where, part: textPart("") })
    )
  }

  #call({ arguments: delta, id, index, name }: ToolCallPiece) {
    let written = ""
    if (this.#open?._tag !== "Call" || this.#open.number !== index) {
      written += this.#close()
      const call = { id: id ?? "", name: name ?? "", arguments: "" }
      const open = {
        _tag: "Call" as const,
        id: `fc_${this.#index}_${this.#about.jobId}`,
        number: index,
        call
      }
      this.#open = open
      const item = callItem(open.id, "in_progress", call)
      written += this.#event("response.output_item.added", { output_index: this.#index, item })
    }
    if (delta === "" || this.#open?._tag !== "Call") return written
    this.#open.call = { ...this.#open.call, arguments: this.#open.call.arguments + delta }
    const where = { item_id: this.#open.id, output_index: this.#index }
    return written + this.#event("response.function_call_arguments.delta", { ...where, delta })
  }

  #close() {
    const open = this.#open
    if (open === undefined) return ""
    this.#open = undefined
    const output_index = this.#index
    const where = { item_id: open.id, output_index }
    if (open._tag === "Call") {
      const { arguments: given, name } = open.call
      const item = callItem(open.id, "completed", open.call)
      const done = this.#event("response.function_call_arguments.done", { ...where, name, arguments: given })
      const added = this.#event("response.output_item.done", { output_index, item })
      this.#output.push(item)
      return done + added
    }
    const part = textPart(open.text)
    const item = messageItem(open.id, "completed", [part])
    const done =
      this.#event("response.output_text.done", {
        ...where,
        content_index: 0,
        text: open.text,
        logprobs: []
      }) +
      this.#event("response.content_part.done", { ...where, content_index: 0, part }) +
      this.#event("response.output_item.done", { output_index, item })
    this.#output.push(item)
    return done
  }
}

function* readResponse(body: Body): Reading<Exchange> {
  const request = yield* readResponses(body)
  return {
    model: request.model,
    api: "chat/completions",
    body: yield* engineBody(request),
    reply:
      request.stream === true
        ? {
            _tag: "Stream",
            contentType: "text/event-stream",
            idle: ": waiting\n\n",
            writer: (about) => new ResponseWriter(request, about)
          }
        : { _tag: "Whole", toJson: wholeResponse(request) }
  }
}

/** `POST /v1/responses`: text and tools; nothing is kept of an answer. */
export const responsesDoor: Door = {
  path: "/v1/responses",
  format: openAiFormat,
  read: (body) => Result.gen(() => readResponse(body))
}
