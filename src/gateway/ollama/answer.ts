import * as DateTime from "effect/DateTime"
import {
  type ChoicePiece,
  type EngineUsage,
  tokensOf,
  type ToolCallPiece
} from "../../job/view/EngineChunk.ts"
import { ChoiceWriter } from "../endpoint/ChoiceWriter.ts"
import type { ResponseContext, ResponseMode } from "../endpoint/Endpoint.ts"
import type { EngineAnswer, ToolCall } from "../endpoint/EngineAnswer.ts"
import type { GatewayError } from "../endpoint/GatewayError.ts"
import { parsedArguments } from "../endpoint/reading.ts"
import { ollamaFormat } from "./format.ts"

/** A part of an answer. `/api/chat` wraps it in a message, `/api/generate` does not. */
export interface Part {
  readonly text: string
  readonly thinking: string
  readonly calls: ReadonlyArray<ToolCall>
}

export type Shape = (part: Part) => object

const toolCalls = (calls: ReadonlyArray<ToolCall>) =>
  calls.length === 0
    ? {}
    : {
        tool_calls: calls.map(({ arguments: json, name }) => ({
          function: { name, arguments: parsedArguments(json) }
        }))
      }

const thoughts = (thinking: string) => (thinking === "" ? {} : { thinking })

/** `/api/chat`. */
export const chatShape: Shape = ({ calls, text, thinking }) => ({
  message: { role: "assistant", content: text, ...thoughts(thinking), ...toolCalls(calls) }
})

/** `/api/generate`. */
export const generateShape: Shape = ({ text, thinking }) => ({ response: text, ...thoughts(thinking) })

/** Converts milliseconds to nanoseconds. */
export const nanos = (millis: number) => Math.round(millis * 1e6)

const millisIn = (usage: EngineUsage | undefined, field: string, fallback: number) => {
  const millis = usage?.[field]
  return typeof millis === "number" ? millis : fallback
}

const head = ({ model, now }: ResponseContext) => ({
  model,
  created_at: DateTime.formatIso(DateTime.makeUnsafe(now()))
})

const statistics = (
  usage: EngineUsage | undefined,
  { askedAt, now, placement }: ResponseContext,
  firstAt: number | undefined
) => {
  const { completion, prompt } = tokensOf(usage)
  const { loadMs = 0, queueMs = 0 } = placement() ?? {}
  const placedAt = askedAt + queueMs
  const readAt = Math.max(placedAt, firstAt ?? placedAt)
  return {
    total_duration: nanos(now() - askedAt),
    load_duration: nanos(loadMs),
    prompt_eval_count: prompt,
    prompt_eval_duration: nanos(millisIn(usage, "prompt_ms", readAt - placedAt)),
    eval_count: completion,
    eval_duration: nanos(millisIn(usage, "predicted_ms", Math.max(0, now() - readAt)))
  }
}

const doneReason = (finish: string) => (finish === "length" ? "length" : "stop")

/** Writes a line for each piece, and all tool calls in one line, as Ollama clients expect. */
class LineWriter extends ChoiceWriter {
  readonly #shape: Shape
  readonly #calls = new Map<number, { id: string; name: string; arguments: string }>()
  #firstAt: number | undefined

  constructor(shape: Shape, context: ResponseContext) {
    super(context)
    this.#shape = shape
  }

  failed(failure: GatewayError) {
    return `${JSON.stringify(ollamaFormat.error(failure))}\n`
  }

  protected start() {
    return ""
  }

  protected piece({ reasoning, text, toolCalls }: ChoicePiece) {
    for (const call of toolCalls) this.#gather(call)
    const hasText = text !== "" || reasoning !== ""
    if (hasText || toolCalls.length > 0) this.#firstAt ??= this.context.now()
    return hasText ? this.#line({ text, thinking: reasoning, calls: [] }) : ""
  }

  protected finish() {
    const calls = [...this.#calls.values()]
    const callLine = calls.length === 0 ? "" : this.#line({ text: "", thinking: "", calls })
    return callLine + this.#line({ text: "", thinking: "", calls: [] }, true)
  }

  #gather({ arguments: piece, id, index, name }: ToolCallPiece) {
    const call = this.#calls.get(index) ?? { id: "", name: "", arguments: "" }
    this.#calls.set(index, {
      id: id ?? call.id,
      name: name ?? call.name,
      arguments: call.arguments + piece
    })
  }

  #line(part: Part, done = false) {
    const last = done
      ? { done_reason: doneReason(this.finishReason), ...statistics(this.usage, this.context, this.#firstAt) }
      : {}
    return `${JSON.stringify({ ...head(this.context), ...this.#shape(part), done, ...last })}\n`
  }
}

/** The response mode: JSON lines, or one document if `stream` is false. */
export const reply = (shape: Shape, stream: boolean | null | undefined): ResponseMode =>
  stream === false
    ? {
        _tag: "Complete",
        toJson: ({ choices: [choice], usage }: EngineAnswer, context: ResponseContext) => ({
          ...head(context),
          ...shape({ text: choice.text, thinking: choice.reasoning, calls: choice.toolCalls }),
          done: true,
          done_reason: doneReason(choice.finishReason),
          ...statistics(usage, context, undefined)
        })
      }
    : {
        _tag: "Stream",
        contentType: "application/x-ndjson",
        idle: "",
        writer: (context) => new LineWriter(shape, context)
      }

const emptyReply = (shape: Shape, reason: "load" | "unload"): ResponseMode => ({
  _tag: "Complete",
  toJson: (_answer, context) => ({
    ...head(context),
    ...shape({ text: "", thinking: "", calls: [] }),
    done: true,
    done_reason: reason
  })
})

/** The answer to a request without a prompt, which only loads the model. */
export const loadedReply = (shape: Shape) => emptyReply(shape, "load")

/** The answer to a request that only unloads the model. */
export const unloadedReply = (shape: Shape) => emptyReply(shape, "unload")
