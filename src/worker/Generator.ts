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

/** The parameters of a generation. */
export interface Sampling {
  readonly maxTokens: number
  /** Rejects a prompt that leaves less than `maxTokens` of the context, instead of shortening the answer. */
  readonly isExact: boolean
  readonly temperature: number
  readonly topP: number
  readonly topK: number
  readonly minP: number
  /** Divides the logits of tokens that occur in the prompt or the answer; 1: off. */
  readonly repeatPenalty: number
  /** Subtracted from the logits of tokens that occur in the answer. */
  readonly presencePenalty: number
  readonly frequencyPenalty: number
  /** The number of last tokens that the penalties apply to. */
  readonly penaltyWindow: number
  readonly seed: number | undefined
  readonly stop: ReadonlyArray<string>
  /** The number of answers per prompt. */
  readonly choices: number
  readonly grammar: LlamaGrammar | undefined
  /** The number of most probable tokens to report per position; undefined: no probabilities. */
  readonly logprobs: number | undefined
}

/** Token counts, and times in milliseconds. */
export interface Usage {
  readonly promptTokens: number
  readonly cachedTokens: number
  readonly completionTokens: number
  readonly queuedMs: number
  /** From the assignment of a slot to the first token. */
  readonly promptMs: number
  readonly predictedMs: number
}

/** The output of a generation: pieces of text, then its end. `index` is the number of the answer. */
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
      /** The stop string that ended the answer. */
      readonly stop: string | undefined
      readonly usage: Usage
    }

/** Tokens of a prompt that are evaluated at once. A cancelled request still completes the current batch. */
export const batchSize = 256

interface Counts {
  cached: number
  completion: number
  firstAt: number
}

/** The number of leading tokens of the prompt that a sequence has already evaluated. */
const sharedPrefix = (tokens: ReadonlyArray<Token>) => (sequence: LlamaContextSequence) =>
  sequence.compareContextTokens([...tokens]).firstDifferentIndex

/** Generates answers, each in its own slot. */
export class Generator {
  readonly #llama: LlamaPackage["llama"]
  readonly #model: LlamaModel
  readonly #slots: Slots<LlamaContextSequence>

  constructor({ llama }: LlamaPackage, model: LlamaModel, slots: Slots<LlamaContextSequence>) {
    this.#llama = llama
    this.#model = model
    this.#slots = slots
  }

  /** Generates one answer. The signal stops it at the next token. */
  async *run(
    prompt: ReadonlyArray<Token>,
    sampling: Sampling,
    index: number,
    signal: AbortSignal
  ): AsyncGenerator<Piece> {
    const queuedAt = performance.now()
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
        queuedMs: startedAt - queuedAt,
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

  // Evaluates all but the last batch in steps, because a step cannot be cancelled.
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
    const piece = (emitted: string): Piece => ({
      _tag: "Text",
      index,
      text: emitted,
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
      const emitted = text.push(token)
      if (emitted !== "") yield piece(emitted)
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
      // The engine's default seed is constant, but answers to one prompt must differ.
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

/** OpenAI's penalties apply to the answer only, llama.cpp's also to the prompt. */
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
