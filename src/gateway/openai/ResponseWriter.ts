import { sseFrame } from "../../http/SseFrame.ts"
import type { ChoicePiece, ToolCallPiece } from "../../job/view/EngineChunk.ts"
import { ChoiceWriter } from "../endpoint/ChoiceWriter.ts"
import type { ResponseContext } from "../endpoint/Endpoint.ts"
import type { ToolCall } from "../endpoint/EngineAnswer.ts"
import type { GatewayError } from "../endpoint/GatewayError.ts"
import { openAiError } from "./format.ts"
import type { ResponsesRequest } from "./responsesRequest.ts"
import {
  callId,
  callItem,
  ending,
  head,
  messageItem,
  reasoningItem,
  reasoningPart,
  textPart,
  usageOf
} from "./responsesShape.ts"

/** The differences between the two kinds of text items. */
interface TextKind {
  readonly prefix: string
  readonly delta: string
  readonly done: string
  readonly part: (text: string) => object
  readonly item: (id: string, status: string, texts: ReadonlyArray<string>) => object
  /** Additional fields of this kind's events. */
  readonly extra: object
}

const message: TextKind = {
  prefix: "msg",
  delta: "response.output_text.delta",
  done: "response.output_text.done",
  part: textPart,
  item: (id, status, texts) => messageItem(id, status, texts.map(textPart)),
  extra: { logprobs: [] }
}

const reasoning: TextKind = {
  prefix: "rs",
  delta: "response.reasoning_text.delta",
  done: "response.reasoning_text.done",
  part: reasoningPart,
  item: reasoningItem,
  extra: {}
}

type Open =
  | { readonly _tag: "Text"; readonly kind: TextKind; readonly id: string; text: string }
  | { readonly _tag: "Call"; readonly id: string; readonly number: number; call: ToolCall }

/** Writes the events of a response: output items in sequence, each with added, delta and done events. */
export class ResponseWriter extends ChoiceWriter {
  readonly #request: ResponsesRequest
  readonly #output: Array<object> = []
  #sequence = 0
  #open: Open | undefined

  constructor(request: ResponsesRequest, context: ResponseContext) {
    super(context)
    this.#request = request
  }

  failed(failure: GatewayError) {
    const { code, message: sentence } = openAiError(failure)
    const last = { status: "failed", error: { code, message: sentence }, output: this.#output, usage: null }
    return this.startOnce() + this.#event("response.failed", { response: this.#response(last) })
  }

  #event(type: string, fields: object) {
    return sseFrame(JSON.stringify({ type, sequence_number: this.#sequence++, ...fields }), type)
  }

  #response(fields: object) {
    return { ...head(this.#request, this.context), ...fields }
  }

  protected start() {
    const response = this.#response({ status: "in_progress", output: [], usage: null })
    return this.#event("response.created", { response }) + this.#event("response.in_progress", { response })
  }

  get #index() {
    return this.#output.length
  }

  protected piece({ reasoning: thought, text, toolCalls }: ChoicePiece) {
    let written = thought === "" ? "" : this.#text(reasoning, thought)
    if (text !== "") written += this.#text(message, text)
    for (const piece of toolCalls) written += this.#call(piece)
    return written
  }

  protected finish() {
    // An empty answer is a message without text.
    const empty = this.#output.length === 0 && this.#open === undefined ? this.#openText(message) : ""
    const closed = this.#close()
    const { incomplete_details, status } = ending(this.finishReason)
    const last = { status, incomplete_details, output: this.#output, usage: usageOf(this.usage) }
    return empty + closed + this.#event(`response.${status}`, { response: this.#response(last) })
  }

  #text(kind: TextKind, delta: string) {
    const isOpen = this.#open?._tag === "Text" && this.#open.kind === kind
    const opened = isOpen ? "" : this.#close() + this.#openText(kind)
    if (this.#open?._tag !== "Text") return opened
    this.#open.text += delta
    const where = { item_id: this.#open.id, output_index: this.#index, content_index: 0 }
    return opened + this.#event(kind.delta, { ...where, delta, ...kind.extra })
  }

  #openText(kind: TextKind) {
    const id = `${kind.prefix}_${this.#index}_${this.context.jobId}`
    this.#open = { _tag: "Text", kind, id, text: "" }
    const where = { item_id: id, output_index: this.#index, content_index: 0 }
    return (
      this.#event("response.output_item.added", {
        output_index: this.#index,
        item: kind.item(id, "in_progress", [])
      }) + this.#event("response.content_part.added", { ...where, part: kind.part("") })
    )
  }

  #call({ arguments: delta, id, index, name }: ToolCallPiece) {
    let written = ""
    if (this.#open?._tag !== "Call" || this.#open.number !== index) {
      written += this.#close()
      const call = { id: callId(id, this.context, this.#index), name: name ?? "", arguments: "" }
      const open = {
        _tag: "Call" as const,
        id: `fc_${this.#index}_${this.context.jobId}`,
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
      const { arguments: json, name } = open.call
      const item = callItem(open.id, "completed", open.call)
      const done = this.#event("response.function_call_arguments.done", { ...where, name, arguments: json })
      const added = this.#event("response.output_item.done", { output_index, item })
      this.#output.push(item)
      return done + added
    }
    const { kind, text } = open
    const item = kind.item(open.id, "completed", [text])
    const done =
      this.#event(kind.done, { ...where, content_index: 0, text, ...kind.extra }) +
      this.#event("response.content_part.done", { ...where, content_index: 0, part: kind.part(text) }) +
      this.#event("response.output_item.done", { output_index, item })
    this.#output.push(item)
    return done
  }
}
