import type * as Jinja from "@huggingface/jinja"
import type { LlamaModel, Token } from "node-llama-cpp"
import { boundedRender, RenderExceeded } from "./boundedRender.ts"
import { BadRequest } from "./errors.ts"
import { Markers, type Segment } from "./Markers.ts"

/** One call of a tool in an earlier turn; the arguments are JSON text, or what it stands for. */
export interface ChatToolCall {
  readonly id: string
  readonly name: string
  readonly arguments: unknown
}

/** One turn of a conversation. A turn that only calls tools has no content. */
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

const sentence = (cause: unknown) => (cause instanceof Error ? cause.message : String(cause))

/** The model's own template, by which a conversation becomes a prompt. */
export class ChatTemplate {
  readonly #jinja: typeof Jinja
  readonly #model: LlamaModel
  readonly #source: string | undefined
  #template: Jinja.Template | undefined

  /** `source` takes the place of the model's own template. */
  constructor(jinja: typeof Jinja, model: LlamaModel, source?: string) {
    this.#jinja = jinja
    this.#model = model
    this.#source = source ?? model.fileInfo.metadata.tokenizer?.chat_template
  }

  /**
   * The tokens of a conversation, up to where the answer begins, or with `goesOn` to the end of the last message's text.
   * The template's text may hold control tokens; the messages' text is tokenized apart and never does. Throws BadRequest
   * with the template's sentence when it refuses the conversation, and when it has no place for tool calls.
   */
  tokens(messages: ReadonlyArray<ChatMessage>, goesOn: boolean): ReadonlyArray<Token> {
    const markers = new Markers([this.#source ?? "", ...messages.flatMap(textsOf)])
    const segments = markers.split(this.#render(messages, markers, goesOn))
    checkTools(messages, segments, this.#source ?? "")
    const last = segments.findLastIndex(({ message }) => message === messages.length - 1)
    // What stands behind the last message would end it.
    return (goesOn && last !== -1 ? segments.slice(0, last + 1) : segments).flatMap(
      ({ isLiteral, message, text }) =>
        this.#model.tokenize(message === undefined ? text : (messages[message]?.content ?? ""), !isLiteral)
    )
  }

  #render(messages: ReadonlyArray<ChatMessage>, markers: Markers, goesOn: boolean) {
    const render = (absent: string | null) =>
      boundedRender(() =>
        this.#compiled().render({
          messages: messages.map((message, index) =>
            templateMessage(message, index, markers, absent, goesOn && index === messages.length - 1)
          ),
          add_generation_prompt: !goesOn,
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
        // Some templates tell a call of a tool by a content that is none; others fail on it.
        if (messages.some(({ content }) => content === undefined)) return render("")
      } catch {}
      throw refusal(sentence(cause), "chat_template_error")
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
  // An empty content stays one: templates ask for that.
  content: content === undefined ? absent : content === "" && !isContinued ? "" : markers.place(index),
  ...(toolCalls.length === 0 ? {} : { tool_calls: toolCalls.map((call) => templateCall(call, markers)) }),
  ...(toolCallId === undefined ? {} : { tool_call_id: markers.literal(toolCallId) }),
  ...(name === undefined ? {} : { name: markers.literal(name) })
})

const templateCall = ({ arguments: given, id, name }: ChatToolCall, markers: Markers) => ({
  id: markers.literal(id),
  type: "function",
  function: { name: markers.literal(name), arguments: markers.literals(parsedArguments(given)) }
})

/** Templates write the arguments of a call themselves, from what OpenAI's clients send as JSON text. */
const parsedArguments = (given: unknown): unknown => {
  if (given === undefined || given === null || given === "") return {}
  if (typeof given !== "string") return given
  try {
    const value: unknown = JSON.parse(given)
    return typeof value === "object" && value !== null ? value : given
  } catch {
    return given
  }
}

/** Refuses a conversation whose tool calls, or their results, the template would pass over without a word. */
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
