import type * as Response from "effect/ai/Response"
import * as Schema from "effect/Schema"

const text = Schema.optionalKey(Schema.NullOr(Schema.String))

const FunctionCall = Schema.Struct({
  index: Schema.optionalKey(Schema.Int),
  id: text,
  function: Schema.optionalKey(Schema.Struct({ name: text, arguments: text }))
})

const Message = Schema.Struct({
  content: text,
  reasoning_content: text,
  tool_calls: Schema.optionalKey(Schema.NullOr(Schema.Array(FunctionCall)))
})

const Usage = Schema.Struct({
  prompt_tokens: Schema.Int,
  completion_tokens: Schema.optionalKey(Schema.Int),
  prompt_tokens_details: Schema.optionalKey(
    Schema.NullOr(Schema.Struct({ cached_tokens: Schema.optionalKey(Schema.NullOr(Schema.Int)) }))
  )
})

/** A complete answer of `/v1/chat/completions`. */
export const Completion = Schema.Struct({
  id: text,
  model: text,
  choices: Schema.NonEmptyArray(Schema.Struct({ message: Message, finish_reason: text })),
  usage: Schema.optionalKey(Schema.NullOr(Usage))
})

/** One event of a streamed answer. */
export const CompletionChunk = Schema.fromJsonString(
  Schema.Struct({
    id: text,
    model: text,
    choices: Schema.optionalKey(Schema.Array(Schema.Struct({ delta: Message, finish_reason: text }))),
    usage: Schema.optionalKey(Schema.NullOr(Usage)),
    error: Schema.optionalKey(Schema.Struct({ message: Schema.String }))
  })
)

const usageOf = (usage: typeof Usage.Type | null | undefined) => {
  const total = usage?.prompt_tokens
  const cacheRead = usage?.prompt_tokens_details?.cached_tokens ?? undefined
  return {
    inputTokens: {
      total,
      cacheRead,
      uncached: total === undefined || cacheRead === undefined ? undefined : total - cacheRead
    },
    outputTokens: { total: usage?.completion_tokens }
  }
}

const reasons: Readonly<Record<string, Response.FinishReason>> = {
  stop: "stop",
  length: "length",
  tool_calls: "tool-calls",
  content_filter: "content-filter"
}

const finishPart = (
  reason: string | null | undefined,
  usage: typeof Usage.Type | null | undefined
): Response.FinishPartEncoded => ({
  type: "finish",
  reason: reasons[reason ?? ""] ?? "unknown",
  usage: usageOf(usage)
})

/** The arguments of a tool call; text that is not JSON is passed on for the tool's schema to refuse. */
const paramsOf = (json: string): unknown => {
  try {
    return json.trim() === "" ? {} : JSON.parse(json)
  } catch {
    return json
  }
}

/** The parts of a complete answer. */
export const partsOf = ({
  choices: [choice],
  usage
}: typeof Completion.Type): Array<Response.PartEncoded> => {
  const { content, reasoning_content: reasoning, tool_calls: calls } = choice.message
  return [
    ...(reasoning ? [{ type: "reasoning", text: reasoning } as const] : []),
    ...(content ? [{ type: "text", text: content } as const] : []),
    ...(calls ?? []).map(
      (call, index) =>
        ({
          type: "tool-call",
          id: call.id ?? `call_${index}`,
          name: call.function?.name ?? "",
          params: paramsOf(call.function?.arguments ?? "")
        }) as const
    ),
    finishPart(choice.finish_reason, usage)
  ]
}

interface OpenCall {
  readonly id: string
  readonly name: string
  json: string
}

/** Turns the chunks of a streamed answer into the parts of Effect's stream. */
export class StreamedAnswer {
  #open: "reasoning" | "text" | undefined
  #isDescribed = false
  #reason: string | null | undefined
  #usage: typeof Usage.Type | null | undefined
  readonly #calls = new Map<number, OpenCall>()

  chunk({ choices, id, model, usage }: typeof CompletionChunk.Type): Array<Response.StreamPartEncoded> {
    const parts: Array<Response.StreamPartEncoded> = []
    if (!this.#isDescribed) {
      this.#isDescribed = true
      parts.push({ type: "response-metadata", id: id ?? undefined, modelId: model ?? undefined })
    }
    this.#usage = usage ?? this.#usage
    const [choice] = choices ?? []
    if (choice === undefined) return parts
    const { content, reasoning_content: reasoning, tool_calls: calls } = choice.delta
    if (reasoning) parts.push(...this.#delta("reasoning", reasoning))
    if (content) parts.push(...this.#delta("text", content))
    for (const [position, call] of (calls ?? []).entries()) parts.push(...this.#call(call, position))
    this.#reason = choice.finish_reason ?? this.#reason
    return parts
  }

  /** The parts that end the answer. */
  end(): Array<Response.StreamPartEncoded> {
    const calls = [...this.#calls.values()].flatMap(({ id, json, name }) => [
      { type: "tool-params-end", id } as const,
      { type: "tool-call", id, name, params: paramsOf(json) } as const
    ])
    return [...this.#close(), ...calls, finishPart(this.#reason, this.#usage)]
  }

  #delta(kind: "reasoning" | "text", delta: string): Array<Response.StreamPartEncoded> {
    const begin = this.#open === kind ? [] : [...this.#close(), { type: `${kind}-start`, id: kind } as const]
    this.#open = kind
    return [...begin, { type: `${kind}-delta`, id: kind, delta }]
  }

  #close(): Array<Response.StreamPartEncoded> {
    if (this.#open === undefined) return []
    const kind = this.#open
    this.#open = undefined
    return [{ type: `${kind}-end`, id: kind }]
  }

  #call(call: typeof FunctionCall.Type, position: number): Array<Response.StreamPartEncoded> {
    const index = call.index ?? position
    const known = this.#calls.get(index)
    const open = known ?? { id: call.id ?? `call_${index}`, name: call.function?.name ?? "", json: "" }
    const delta = call.function?.arguments ?? ""
    this.#calls.set(index, open)
    open.json += delta
    return [
      ...(known === undefined
        ? [...this.#close(), { type: "tool-params-start", id: open.id, name: open.name } as const]
        : []),
      ...(delta === "" ? [] : [{ type: "tool-params-delta", id: open.id, delta } as const])
    ]
  }
}
