import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import type { Piece, Usage } from "./Engine.ts"
import type { FinishReason } from "./TextAssembler.ts"

/** How an answer is written: completions and chats differ in their names only. */
export interface Shape {
  /** What opens the stream; a chat says who speaks. */
  readonly opening: string
  readonly chunk: (text: string) => unknown
  readonly lastChunk: (reason: FinishReason, usage: Usage) => unknown
  readonly usageChunk: (usage: Usage) => unknown
  readonly whole: (text: string, reason: FinishReason, usage: Usage) => unknown
}

const usageOf = (usage: Usage) => ({
  prompt_tokens: usage.promptTokens,
  completion_tokens: usage.completionTokens,
  total_tokens: usage.promptTokens + usage.completionTokens,
  prompt_tokens_details: { cached_tokens: usage.cachedTokens },
  queued_ms: Math.round(usage.queuedMs),
  prompt_ms: Math.round(usage.promptMs),
  predicted_ms: Math.round(usage.predictedMs)
})

const frame = (value: unknown) => `data: ${JSON.stringify(value)}\n\n`

/** `/v1/completions`. */
export const completionShape = (id: string, model: string, created: number): Shape => {
  const head = { id: `cmpl-${id}`, object: "text_completion", created, model }
  const choice = (text: string, reason: FinishReason | null) => ({
    index: 0,
    text,
    logprobs: null,
    finish_reason: reason
  })
  return {
    // Headers leave with the first bytes, and the first token may be far away.
    opening: ": working\n\n",
    chunk: (text) => ({ ...head, choices: [choice(text, null)] }),
    lastChunk: (reason) => ({ ...head, choices: [choice("", reason)] }),
    usageChunk: (usage) => ({ ...head, choices: [], usage: usageOf(usage) }),
    whole: (text, reason, usage) => ({ ...head, choices: [choice(text, reason)], usage: usageOf(usage) })
  }
}

/** `/v1/chat/completions`. */
export const chatShape = (id: string, model: string, created: number): Shape => {
  const head = { id: `chatcmpl-${id}`, object: "chat.completion.chunk", created, model }
  const choice = (delta: unknown, reason: FinishReason | null) => ({
    index: 0,
    delta,
    logprobs: null,
    finish_reason: reason
  })
  const message = (content: string) => ({ role: "assistant", content, refusal: null })
  return {
    opening: frame({ ...head, choices: [choice({ role: "assistant", content: "" }, null)] }),
    chunk: (content) => ({ ...head, choices: [choice({ content }, null)] }),
    lastChunk: (reason) => ({ ...head, choices: [choice({}, reason)] }),
    usageChunk: (usage) => ({ ...head, choices: [], usage: usageOf(usage) }),
    whole: (text, reason, usage) => ({
      ...head,
      object: "chat.completion",
      choices: [{ index: 0, message: message(text), logprobs: null, finish_reason: reason }],
      usage: usageOf(usage)
    })
  }
}

/** The answer as one document. */
export const answered = <E>(shape: Shape, pieces: Stream.Stream<Piece, E>) =>
  Stream.runFold(
    pieces,
    () => ({ text: "", whole: undefined as unknown }),
    ({ text, whole }, piece) =>
      piece._tag === "Text"
        ? { text: text + piece.text, whole }
        : { text, whole: shape.whole(text, piece.reason, piece.usage) }
  ).pipe(Effect.map(({ whole }) => whole))

const lastFrame = "data: [DONE]\n\n"

/** The answer as Server-Sent Events. An engine that fails in the middle says so in an event of its own. */
export const streamed = (
  shape: Shape,
  pieces: Stream.Stream<Piece, { readonly message: string }>,
  includeUsage: boolean
): Stream.Stream<Uint8Array> =>
  Stream.map(pieces, (piece) => {
    if (piece._tag === "Text") return frame(shape.chunk(piece.text))
    const usage = includeUsage ? frame(shape.usageChunk(piece.usage)) : ""
    return frame(shape.lastChunk(piece.reason, piece.usage)) + usage + lastFrame
  }).pipe(
    Stream.catch(({ message }) =>
      Stream.make(frame({ error: { message, type: "server_error", param: null, code: "engine_failed" } }))
    ),
    (frames) => Stream.concat(Stream.make(shape.opening), frames),
    Stream.encodeText
  )
