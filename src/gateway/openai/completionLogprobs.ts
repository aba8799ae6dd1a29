import * as Predicate from "effect/Predicate"
import * as Result from "effect/Result"
import type { AnswerWriter } from "../endpoint/AnswerWriter.ts"

const objectsOf = (value: unknown) =>
  Array.isArray(value) ? value.filter((item) => Predicate.isReadonlyObject(item)) : []

/**
 * Converts log probabilities in the format of chats, which llama-server also writes for completions, to the parallel lists
 * of OpenAI's completions; returns others unchanged. `offset` is the position of the text in UTF-16 units.
 */
export const completionLogprobs = (logprobs: unknown, offset: number): unknown => {
  if (!Predicate.isReadonlyObject(logprobs) || !Array.isArray(logprobs["content"])) return logprobs
  const entries = objectsOf(logprobs["content"])
  const tokens = entries.map(({ token }) => String(token))
  let at = offset
  return {
    tokens,
    token_logprobs: entries.map(({ logprob }) => logprob),
    top_logprobs: entries.map(({ top_logprobs }) =>
      Object.fromEntries(objectsOf(top_logprobs).map(({ logprob, token }) => [String(token), logprob]))
    ),
    text_offset: tokens.map((token) => {
      const start = at
      at += token.length
      return start
    })
  }
}

const parse = (data: string): unknown => Result.getOrUndefined(Result.try(() => JSON.parse(data)))

/** Converts the log probabilities of a stream to OpenAI's format. It parses each chunk, so only requests with `logprobs` use it. */
export const logprobsWriter = (writer: AnswerWriter): AnswerWriter => {
  const lengths = new Map<unknown, number>()
  const rewrite = (choice: { readonly [field: string]: unknown }) => {
    const { index, logprobs, text } = choice
    const offset = lengths.get(index) ?? 0
    lengths.set(index, offset + (typeof text === "string" ? text.length : 0))
    return { ...choice, logprobs: completionLogprobs(logprobs ?? null, offset) }
  }
  return {
    ...writer,
    chunk: (data) => {
      const chunk = parse(data)
      return Predicate.isReadonlyObject(chunk)
        ? writer.chunk(JSON.stringify({ ...chunk, choices: objectsOf(chunk["choices"]).map(rewrite) }))
        : writer.chunk(data)
    }
  }
}
