import type {
  LlamaContextSequence,
  LlamaGrammar,
  LlamaModel,
  SequenceEvaluateOptions,
  Token
} from "node-llama-cpp"
import type { LlamaPackage } from "./LlamaPackage.ts"
import { type AnswerLogProb, LogProbs } from "./LogProbs.ts"
import type { Slot, Slots } from "./Slots.ts"
import { type FinishReason, TextAssembler } from "./TextAssembler.ts"

/** How tokens are chosen, and how many. */
export interface Sampling {
  readonly maxTokens: number
  /** Refuses a prompt that leaves less than `maxTokens` of the context, instead of cutting the answer. */
  readonly isExact: boolean
  readonly temperature: number
  readonly topP: number
  readonly topK: number
  readonly minP: number
  /** Divides what tokens of the prompt and of the answer that were used already score; 1 is off. */
  readonly repeatPenalty: number
  /** Taken off tokens that the answer used already. */
  readonly presencePenalty: number
  readonly frequencyPenalty: number
  /** How many of the last tokens the penalties look at. */
  readonly penaltyWindow: number
  readonly seed: number | undefined
  readonly stop: ReadonlyArray<string>
  /** How many answers. */
  readonly choices: number
  /** What the answer must fit. */
  readonly grammar: LlamaGrammar | undefined
  /** How many of the likeliest tokens are told at each place; none: no probabilities are. */
  readonly logprobs: number | undefined
}

/** Counts of tokens, and times in milliseconds. */
export interface Usage {
  readonly promptTokens: number
  readonly cachedTokens: number
  readonly completionTokens: number
  readonly queuedMs: number
  /** From the slot to the first token. */
  readonly promptMs: number
  readonly predictedMs: number
}

/** What a generation gives: pieces of text, and at last how it ended. The index says of which answer. */
export type Piece =
  | {
      readonly _tag: "Text"
      readonly index: number
      readonly text: string
      readonly logprobs: ReadonlyArray<AnswerLogProb> | null
    }
  | {
      readonly _tag: "End"
      readonly index: number
      readonly reason: FinishReason
      /** The stop string that ended it. */
      readonly stop: string | undefined
      readonly usage: Usage
    }

/** What a prompt is evaluated in at once, in tokens: the longest that a cancelled one still computes. */
export const batchSize = 256

interface Counts {
  cached: number
  completion: number
  firstAt: number
}

/** How many tokens a sequence has evaluated already that the prompt begins with. */
const sharedPrefix = (tokens: ReadonlyArray<Token>) => (sequence: LlamaContextSequence) =>
  sequence.compareContextTokens([...tokens]).firstDifferentIndex

/** Writes answers to prompts, each in a slot of its own. */
export class Generator {
  readonly #llama: LlamaPackage["llama"]
  readonly #model: LlamaModel
  readonly #slots: Slots<LlamaContextSequence>

  constructor({ llama }: LlamaPackage, model: LlamaModel, slots: Slots<LlamaContextSequence>) {
    this.#llama = llama
    this.#model = model
    this.#slots = slots
  }

  /** One answer. The signal stops it at the next token. */
  async *run(
    prompt: ReadonlyArray<Token>,
    sampling: Sampling,
    index: number,
    signal: AbortSignal
  ): AsyncGenerator<Piece> {
    const askedAt = performance.now()
    const slot = await this.#slots.acquire(sharedPrefix(prompt), signal)
    const startedAt = performance.now()
    const counts = { cached: 0, completion: 0, firstAt: startedAt }
    const end = (reason: FinishReason, stop?: string): Piece => ({
      _tag: "End",
      index,
      reason,
      stop,
      usage: {
        promptTokens: prompt.length,
        cachedTokens: counts.cached,
        completionTokens: counts.completion,
        queuedMs: startedAt - askedAt,
        promptMs: counts.firstAt - startedAt,
        predictedMs: performance.now() - counts.firstAt
      }
    })
    if (slot === undefined) return yield end("cancelled")
    try {
      const rest = await this.#prefill(slot, prompt, counts, signal)
      if (rest === undefined) return yield end("cancelled")
      if (sampling.maxTokens === 0) return yield end("length")
      const { reason, stop } = yield* this.#sample(slot, prompt, rest, sampling, index, counts, signal)
      yield end(reason, stop)
    } finally {
      this.#slots.release(slot)
    }
  }

  // Evaluates all but the last chunk in small steps, because nothing can be cancelled inside of a step.
  async #prefill(
    { sequence }: Slot<LlamaContextSequence>,
    prompt: ReadonlyArray<Token>,
    counts: Counts,
    signal: AbortSignal
  ) {
    const keep = Math.min(sharedPrefix(prompt)(sequence), prompt.length - 1)
    if (sequence.nextTokenIndex > keep) {
      await sequence.eraseContextTokenRanges([{ start: keep, end: sequence.nextTokenIndex }])
    }
    counts.cached = keep
    let at = keep
    for (; prompt.length - at > batchSize; at += batchSize) {
      if (signal.aborted) return undefined
      await sequence.evaluateWithoutGeneratingNewTokens(prompt.slice(at, at + batchSize))
    }
    return signal.aborted ? undefined : prompt.slice(at)
  }

  async *#sample(
    { sequence }: Slot<LlamaContextSequence>,
    prompt: ReadonlyArray<Token>,
    rest: Array<Token>,
    sampling: Sampling,
    index: number,
    counts: Counts,
    signal: AbortSignal
  ): AsyncGenerator<Piece, { readonly reason: FinishReason; readonly stop: string | undefined }> {
    const before = prompt.slice(-3)
    const text = new TextAssembler<Token>(
      (tokens, earlier) => this.#model.detokenize(tokens, false, earlier),
      sampling.stop,
      before
    )
    const logprobs =
      sampling.logprobs === undefined
        ? undefined
        : new LogProbs<Token>((token) => this.#model.detokenize([token], true, before), sampling.logprobs)
    const piece = (sanitized: string): Piece => ({
      _tag: "Text",
      index,
      text: sanitized,
      logprobs: logprobs?.take(text.shown) ?? null
    })
    const written: Array<Token> = []
    const options = this.#options(sampling, prompt, written)
    let reason: FinishReason = "stop"
    const tokens: AsyncIterable<{ readonly token: Token; readonly probabilities?: Map<Token, number> }> =
      logprobs === undefined
        ? sequence.evaluateWithMetadata(rest, {}, options)
        : sequence.evaluateWithMetadata(rest, { probabilities: true }, options)
    for await (const { probabilities, token } of tokens) {
      if (counts.completion === 0) counts.firstAt = performance.now()
      counts.completion++
      if (options.repeatPenalty !== undefined) written.push(token)
      if (probabilities !== undefined) logprobs?.push(token, probabilities, text.length)
      const sanitized = text.push(token)
      if (sanitized !== "") yield piece(sanitized)
      if (text.stop !== undefined) break
      if (signal.aborted) reason = "cancelled"
      else if (counts.completion >= sampling.maxTokens) reason = "length"
      if (reason !== "stop") break
    }
    const last = text.end()
    if (last !== "") yield piece(last)
    return { reason, stop: text.stop }
  }

  #options(
    sampling: Sampling,
    prompt: ReadonlyArray<Token>,
    written: ReadonlyArray<Token>
  ): SequenceEvaluateOptions {
    const { grammar, seed } = sampling
    return {
      temperature: sampling.temperature,
      topP: sampling.topP,
      topK: sampling.topK,
      minP: sampling.minP,
      // Left to itself the engine takes the same seed each time; answers to one prompt must differ.
      seed: seed ?? crypto.getRandomValues(new Uint32Array(1))[0] ?? 0,
      ...(grammar === undefined
        ? {}
        : {
            grammarEvaluationState: new this.#llama.LlamaGrammarEvaluationState({
              model: this.#model,
              grammar
            })
          }),
      ...penaltiesOf(sampling, prompt, written)
    }
  }
}

/** OpenAI's penalties look at the answer alone, llama.cpp's at the prompt too. */
const penaltiesOf = (
  { frequencyPenalty, penaltyWindow, presencePenalty, repeatPenalty }: Sampling,
  prompt: ReadonlyArray<Token>,
  written: ReadonlyArray<Token>
): Pick<SequenceEvaluateOptions, "repeatPenalty"> => {
  const isOff = frequencyPenalty === 0 && presencePenalty === 0 && repeatPenalty === 1
  if (isOff || penaltyWindow === 0) return {}
  const punished = () => {
    const last = written.slice(-penaltyWindow)
    const missing = penaltyWindow - last.length
    return repeatPenalty === 1 || missing === 0 ? last : [...prompt.slice(-missing), ...last]
  }
  return {
    repeatPenalty: {
      punishTokens: punished,
      maxPunishTokens: penaltyWindow,
      penalty: repeatPenalty,
      frequencyPenalty,
      presencePenalty
    }
  }
}
