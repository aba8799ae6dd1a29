import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import type { Piece, Usage } from "./Generator.ts"
import type { AnswerLogProb } from "./LogProbs.ts"
import type { FinishReason } from "./TextAssembler.ts"

type LogProbs = ReadonlyArray<AnswerLogProb> | null

/** A complete answer. */
export interface Choice {
  readonly text: string
  readonly logprobs: LogProbs
  readonly reason: FinishReason
  /** The stop string that ended the answer; vLLM's field `stop_reason`. */
  readonly stop: string | undefined
}

/** The response format of an endpoint. Completions and chats differ only in names of fields. */
export interface Shape {
  /** The first item of a stream; a chat sends the role in it. */
  readonly opening: (choices: number) => string
  readonly chunk: (index: number, text: string, logprobs: LogProbs) => unknown
  readonly lastChunk: (index: number, reason: FinishReason, stop: string | undefined) => unknown
  readonly usageChunk: (usage: Usage) => unknown
  readonly document: (choices: ReadonlyArray<Choice>, usage: Usage) => unknown
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

const stopField = (stop: string | undefined) => (stop === undefined ? {} : { stop_reason: stop })

const completionLogProbs = (logprobs: LogProbs) =>
  logprobs && {
    tokens: logprobs.map(({ token }) => token),
    token_logprobs: logprobs.map(({ logprob }) => logprob),
    top_logprobs: logprobs.map(({ top }) =>
      Object.fromEntries(top.map(({ logprob, token }) => [token, logprob]))
    ),
    text_offset: logprobs.map(({ offset }) => offset)
  }

/** `/v1/completions`. */
export const completionShape = (id: string, model: string, created: number): Shape => {
  const head = { id: `cmpl-${id}`, object: "text_completion", created, model }
  const choice = (index: number, text: string, logprobs: LogProbs, reason: FinishReason | null) => ({
    index,
    text,
    logprobs: completionLogProbs(logprobs),
    finish_reason: reason
  })
  return {
    // Node sends the headers with the first bytes, and the first token may take long.
    opening: () => ": working\n\n",
    chunk: (index, text, logprobs) => ({ ...head, choices: [choice(index, text, logprobs, null)] }),
    lastChunk: (index, reason, stop) => ({
      ...head,
      choices: [{ ...choice(index, "", null, reason), ...stopField(stop) }]
    }),
    usageChunk: (usage) => ({ ...head, choices: [], usage: usageOf(usage) }),
    document: (choices, usage) => ({
      ...head,
      choices: choices.map(({ logprobs, reason, stop, text }, index) =>
        Object.assign(choice(index, text, logprobs, reason), stopField(stop))
      ),
      usage: usageOf(usage)
    })
  }
}

const chatLogProbs = (logprobs: LogProbs) =>
  logprobs && {
    content: logprobs.map(({ bytes, logprob, token, top }) => ({ token, logprob, bytes, top_logprobs: top })),
    refusal: null
  }

/** `/v1/chat/completions`. */
export const chatShape = (id: string, model: string, created: number): Shape => {
  const head = { id: `chatcmpl-${id}`, object: "chat.completion.chunk", created, model }
  const choice = (index: number, delta: unknown, logprobs: LogProbs, reason: FinishReason | null) => ({
    index,
    delta,
    logprobs: chatLogProbs(logprobs),
    finish_reason: reason
  })
  const first = { role: "assistant", content: "" }
  return {
    opening: (choices) =>
      Array.from({ length: choices }, (_, index) =>
        frame({ ...head, choices: [choice(index, first, null, null)] })
      ).join(""),
    chunk: (index, content, logprobs) => ({ ...head, choices: [choice(index, { content }, logprobs, null)] }),
    lastChunk: (index, reason, stop) => ({
      ...head,
      choices: [{ ...choice(index, {}, null, reason), ...stopField(stop) }]
    }),
    usageChunk: (usage) => ({ ...head, choices: [], usage: usageOf(usage) }),
    document: (choices, usage) => ({
      ...head,
      object: "chat.completion",
      choices: choices.map(({ logprobs, reason, stop, text }, index) => ({
        index,
        message: { role: "assistant", content: text, refusal: null },
        logprobs: chatLogProbs(logprobs),
        finish_reason: reason,
        ...stopField(stop)
      })),
      usage: usageOf(usage)
    })
  }
}

type End = Extract<Piece, { readonly _tag: "End" }>

/** The number of answers, in total and per prompt. */
export interface Layout {
  readonly answers: number
  readonly perPrompt: number
}

/** The usage of all answers together: prompt tokens count once per prompt, and times are maxima, as answers run concurrently. */
const totalUsage = (ends: ReadonlyArray<End>, { perPrompt }: Layout): Usage => {
  const prompts = new Map<number, Pick<Usage, "cachedTokens" | "promptTokens">>()
  for (const { index, usage } of ends) {
    const prompt = Math.floor(index / perPrompt)
    const { cachedTokens = usage.cachedTokens } = prompts.get(prompt) ?? {}
    prompts.set(prompt, {
      promptTokens: usage.promptTokens,
      cachedTokens: Math.min(cachedTokens, usage.cachedTokens)
    })
  }
  const usages = ends.map(({ usage }) => usage)
  const sum = (counts: Iterable<number>) => [...counts].reduce((total, count) => total + count, 0)
  const maxOf = (times: ReadonlyArray<number>) => times.reduce((left, right) => Math.max(left, right), 0)
  return {
    promptTokens: sum([...prompts.values()].map(({ promptTokens }) => promptTokens)),
    cachedTokens: sum([...prompts.values()].map(({ cachedTokens }) => cachedTokens)),
    completionTokens: sum(usages.map(({ completionTokens }) => completionTokens)),
    queuedMs: maxOf(usages.map(({ queuedMs }) => queuedMs)),
    promptMs: maxOf(usages.map(({ promptMs }) => promptMs)),
    predictedMs: maxOf(usages.map(({ predictedMs }) => predictedMs))
  }
}

interface Written {
  text: string
  logprobs: Array<AnswerLogProb> | null
  reason: FinishReason
  stop: string | undefined
}

const unwritten = (): Written => ({ text: "", logprobs: null, reason: "stop", stop: undefined })

/** The answers as one JSON document. */
export const answered = <E>(shape: Shape, pieces: Stream.Stream<Piece, E>, layout: Layout) =>
  Stream.runFold(
    pieces,
    () => ({
      written: Array.from({ length: layout.answers }, unwritten),
      ends: Array<End>()
    }),
    (state, piece) => {
      const choice = state.written[piece.index]
      if (choice === undefined) return state
      if (piece._tag === "End") {
        choice.reason = piece.reason
        choice.stop = piece.stop
        state.ends.push(piece)
      } else {
        choice.text += piece.text
        if (piece.logprobs !== null) (choice.logprobs ??= []).push(...piece.logprobs)
      }
      return state
    }
  ).pipe(Effect.map(({ ends, written }) => shape.document(written, totalUsage(ends, layout))))

const lastFrame = "data: [DONE]\n\n"

/** The answers as Server-Sent Events. An engine failure during generation becomes an error event. */
export const streamed = (
  shape: Shape,
  pieces: Stream.Stream<Piece, { readonly message: string }>,
  layout: Layout,
  includeUsage: boolean
): Stream.Stream<Uint8Array> => {
  const ends: Array<End> = []
  return Stream.map(pieces, (piece) => {
    if (piece._tag === "Text") return frame(shape.chunk(piece.index, piece.text, piece.logprobs))
    ends.push(piece)
    const last = frame(shape.lastChunk(piece.index, piece.reason, piece.stop))
    if (ends.length < layout.answers) return last
    return last + (includeUsage ? frame(shape.usageChunk(totalUsage(ends, layout))) : "") + lastFrame
  }).pipe(
    Stream.catch(({ message }) =>
      Stream.make(frame({ error: { message, type: "server_error", param: null, code: "engine_failed" } }))
    ),
    (frames) => Stream.concat(Stream.make(shape.opening(layout.answers)), frames),
    Stream.encodeText
  )
}
