import type * as Jinja from "@huggingface/jinja"
import type { LlamaModel, Token } from "node-llama-cpp"
import { boundedRender, RenderExceeded } from "./boundedRender.ts"
import { BadRequest } from "./errors.ts"
import { Markers, type Segment } from "./Markers.ts"

/** A tool call of an earlier message; `arguments` is JSON text or the parsed value. */
export interface ChatToolCall {
  readonly id: string
  readonly name: string
  readonly arguments: unknown
}

/** A message of a conversation. A message that only calls tools has no content. */
export interface ChatMessage {
  readonly role: string
  readonly content: string | undefined
  readonly toolCalls: ReadonlyArray<ChatToolCall>
  readonly toolCallId: string | undefined
  readonly name: string | undefined
}

const refusal = (reason: string, code: string, param = "messages") => new BadRequest({ reason, param, code })

const noTemplate = refusal("The model has no chat template; use /v1/completions", "no_chat_template")

const noTools = (index: number, field: string) =>
  refusal(
    `'messages.${index}.${field}': the model's chat template has no place for tool calls and their results; leave them out of the conversation, or use a model with tools`,
    "tools_not_supported",
    `messages.${index}.${field}`
  )

const messageOf = (cause: unknown) => (cause instanceof Error ? cause.message : String(cause))

/** Converts conversations to prompts with the model's chat template. */
export class ChatTemplate {
  readonly #jinja: typeof Jinja
  readonly #model: LlamaModel
  readonly #source: string | undefined
  #template: Jinja.Template | undefined

  /** `source` replaces the model's own template. */
  constructor(jinja: typeof Jinja, model: LlamaModel, source?: string) {
    this.#jinja = jinja
    this.#model = model
    this.#source = source ?? model.fileInfo.metadata.tokenizer?.chat_template
  }

  /**
   * The tokens of a conversation up to the start of the answer, or with `isContinued` up to the end of the last message.
   * Control tokens come from the template only: the text of messages is tokenized separately, as plain text. Throws
   * BadRequest with the template's message if the template rejects the conversation, and if it omits the tool calls.
   */
  tokens(messages: ReadonlyArray<ChatMessage>, isContinued: boolean): ReadonlyArray<Token> {
    const markers = new Markers([this.#source ?? "", ...messages.flatMap(textsOf)])
    const segments = markers.split(this.#render(messages, markers, isContinued))
    checkTools(messages, segments, this.#source ?? "")
    const last = segments.findLastIndex(({ message }) => message === messages.length - 1)
    // The template's text after the last message would end the message.
    return (isContinued && last !== -1 ? segments.slice(0, last + 1) : segments).flatMap(
      ({ isLiteral, message, text }) =>
        this.#model.tokenize(message === undefined ? text : (messages[message]?.content ?? ""), !isLiteral)
    )
  }

  #render(messages: ReadonlyArray<ChatMessage>, markers: Markers, isContinued: boolean) {
    const render = (absent: string | null) =>
      boundedRender(() =>
        this.#compiled().render({
          messages: messages.map((message, index) =>
            templateMessage(message, index, markers, absent, isContinued && index === messages.length - 1)
          ),
          add_generation_prompt: !isContinued,
          bos_token: this.#model.tokens.bosString ?? "",
          eos_token: this.#model.tokens.eosString ?? ""
        })
      )
    try {
      return render(null)
    } catch (cause) {
      if (cause instanceof BadRequest) throw cause
      if (cause instanceof RenderExceeded) throw refusal(cause.message, "chat_template_error")
      try {
        // Some templates recognize a tool call by null content; others fail on null and need an empty text.
        if (messages.some(({ content }) => content === undefined)) return render("")
      } catch {}
      throw refusal(messageOf(cause), "chat_template_error")
    }
  }

  #compiled() {
    if (this.#source === undefined) throw noTemplate
    this.#template ??= new this.#jinja.Template(this.#source)
    return this.#template
  }
}

const textsOf = ({ content = "", name = "", toolCallId = "", toolCalls }: ChatMessage) => [
  content,
  name,
  toolCallId,
  ...toolCalls.map((call) => JSON.stringify(call))
]

const templateMessage = (
  { content, name, role, toolCallId, toolCalls }: ChatMessage,
  index: number,
  markers: Markers,
  absent: string | null,
  isContinued: boolean
) => ({
  role: role === "developer" ? "system" : role,
  // Templates test for empty content, so it is not replaced by a marker.
  content: content === undefined ? absent : content === "" && !isContinued ? "" : markers.place(index),
  ...(toolCalls.length === 0 ? {} : { tool_calls: toolCalls.map((call) => templateCall(call, markers)) }),
  ...(toolCallId === undefined ? {} : { tool_call_id: markers.literal(toolCallId) }),
  ...(name === undefined ? {} : { name: markers.literal(name) })
})

const templateCall = ({ arguments: args, id, name }: ChatToolCall, markers: Markers) => ({
  id: markers.literal(id),
  type: "function",
  function: { name: markers.literal(name), arguments: markers.literals(parsedArguments(args)) }
})

/** Parses the arguments that OpenAI's clients send as JSON text, because templates serialize them themselves. */
const parsedArguments = (value: unknown): unknown => {
  if (value === undefined || value === null || value === "") return {}
  if (typeof value !== "string") return value
  try {
    const parsed: unknown = JSON.parse(value)
    return typeof parsed === "object" && parsed !== null ? parsed : value
  } catch {
    return value
  }
}

/** Rejects a conversation whose tool calls or results the template would silently omit. */
const checkTools = (
  messages: ReadonlyArray<ChatMessage>,
  segments: ReadonlyArray<Segment>,
  source: string
) => {
  const written = new Set(segments.map(({ message }) => message))
  for (const [index, { content, role, toolCalls }] of messages.entries()) {
    const hasCalls =
      toolCalls.length === 0 ||
      (source.includes("tool_calls") &&
        toolCalls.every(({ name }) => segments.some(({ text }) => text.includes(name))))
    if (!hasCalls) throw noTools(index, "tool_calls")
    if (role === "tool" && content !== "" && !written.has(index)) throw noTools(index, "role")
  }
}
