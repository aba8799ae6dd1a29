import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import type { Token } from "node-llama-cpp"
import { checkFit } from "../checkFit.ts"
import { Engine } from "../Engine.ts"
import { invalidParameter } from "../errors.ts"
import type { Piece, Sampling } from "../Generator.ts"
import type { TextOrTokens } from "../Tokenizer.ts"
import { seededTokens, tokensWritten } from "./seededText.ts"

/** What a mock engine writes. */
export interface MockText {
  readonly seed: number
  /** The tokens of a complete answer. */
  readonly tokens: number
  /** The time between two tokens in milliseconds. */
  readonly intervalMs: number
  /** Tokens of prompt and answer together, at most. */
  readonly contextSize: number
  /** Requests at the same time, as reported. */
  readonly slots: number
}

const charactersPerToken = 4

// A token of the mock is a UTF-16 unit, so that the text can be read back from the tokens.
const isToken = (unit: number): unit is Token => unit >= 0

const tokensOf = (input: TextOrTokens) =>
  (typeof input === "string" ? Array.from(input, (_, index) => input.charCodeAt(index)) : input).filter(
    isToken
  )

const textOf = (prompt: ReadonlyArray<Token>) => prompt.map((unit) => String.fromCharCode(unit)).join("")

const sizeOf = (prompt: ReadonlyArray<Token>) => Math.ceil(prompt.length / charactersPerToken)

/** The tokens before the first stop string, and that string. */
const untilStop = (tokens: ReadonlyArray<string>, stops: ReadonlyArray<string>) => {
  const text = tokens.join("")
  const found = stops
    .map((stop) => ({ stop, at: text.indexOf(stop) }))
    .filter(({ at }) => at !== -1)
    .toSorted((left, right) => left.at - right.at)[0]
  if (found === undefined) return { tokens, stop: undefined }
  const kept: Array<string> = []
  let left = found.at
  for (const token of tokens) {
    if (left <= 0) break
    kept.push(token.slice(0, left))
    left -= token.length
  }
  return { tokens: kept, stop: found.stop }
}

/** What is written as the answer to a prompt, and why it ends. */
const planOf = (
  { contextSize, seed, tokens: length }: MockText,
  prompt: ReadonlyArray<Token>,
  { maxTokens, stop }: Sampling,
  choice: number
) => {
  const all = seededTokens(seed + choice, length)
  const rest = all.slice(tokensWritten(textOf(prompt), all))
  const limit = Math.min(maxTokens, contextSize - sizeOf(prompt))
  const written = untilStop(rest.slice(0, limit), stop)
  const reason = written.stop === undefined && rest.length > limit ? "length" : "stop"
  return { ...written, reason } as const
}

/** The pieces of one answer, each written after the interval. */
const answer = (
  text: MockText,
  prompt: ReadonlyArray<Token>,
  sampling: Sampling,
  index: number,
  signal: AbortSignal
) => {
  const plan = planOf(text, prompt, sampling, index % sampling.choices)
  return Stream.unwrap(
    Effect.gen(function* () {
      const clock = yield* Clock.Clock
      const startedAt = clock.currentTimeMillisUnsafe()
      let completionTokens = 0
      const pieces = Stream.fromIterable(plan.tokens).pipe(
        Stream.mapEffect((token) => Effect.as(Effect.sleep(text.intervalMs), token)),
        Stream.takeWhile(() => !signal.aborted),
        Stream.map((token): Piece => {
          completionTokens++
          return { _tag: "Text", index, text: token, logprobs: null }
        })
      )
      const end = Stream.sync((): Piece => {
        const usage = {
          promptTokens: sizeOf(prompt),
          cachedTokens: 0,
          completionTokens,
          queuedMs: 0,
          promptMs: 0,
          predictedMs: clock.currentTimeMillisUnsafe() - startedAt
        }
        return signal.aborted
          ? { _tag: "End", index, reason: "cancelled", stop: undefined, usage }
          : { _tag: "End", index, reason: plan.reason, stop: plan.stop, usage }
      })
      return Stream.concat(pieces, end)
    })
  )
}

/** An engine without a model: it writes the text of a seed, one token after each interval, whatever the prompt. */
export const mockEngine = (text: MockText): Engine["Service"] => {
  let busy = 0
  return Engine.of({
    contextSize: text.contextSize,
    slots: text.slots,
    busy: () => busy,
    tokenize: (input) => Effect.succeed(tokensOf(input)),
    tokenizeChat: (messages) =>
      Effect.succeed(tokensOf(messages.map(({ content = "" }) => content).join("\n"))),
    grammar: () =>
      Effect.fail(invalidParameter("response_format", "the mock engine cannot enforce a schema")),
    embed: () => Effect.fail(invalidParameter("input", "the mock engine creates no embeddings")),
    generate: Effect.fnUntraced(function* (prompts, sampling, signal) {
      for (const prompt of prompts) yield* checkFit(sizeOf(prompt), sampling, text.contextSize)
      busy++
      const answers = prompts.flatMap((prompt) => Array.from({ length: sampling.choices }, () => prompt))
      return Stream.fromIterable(answers.entries()).pipe(
        Stream.flatMap(([index, prompt]) => answer(text, prompt, sampling, index, signal)),
        Stream.ensuring(
          Effect.sync(() => {
            busy--
          })
        )
      )
    })
  })
}
