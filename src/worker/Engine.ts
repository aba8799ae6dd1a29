import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import type {
  Llama,
  LlamaContext,
  LlamaContextSequence,
  LlamaEmbeddingContext,
  LlamaModel,
  Token
} from "node-llama-cpp"
import { chatTokens, type ChatMessage } from "./ChatTemplate.ts"
import { Busy, ContextLengthExceeded, EngineFailed, GenerationFailed } from "./errors.ts"
import { type LlamaPackage, loadLlamaPackage } from "./LlamaPackage.ts"
import { type Slot, Slots } from "./Slots.ts"
import { type FinishReason, TextAssembler } from "./TextAssembler.ts"

/** How to load a model; sizes are tokens. */
export interface EngineOptions {
  readonly modelPath: string
  /** None: what the model was trained for, at most 4096. */
  readonly contextSize: number | undefined
  readonly parallel: number
  readonly threads: number
  /** Which backend computes: the processor, or a graphics card with all layers on it. */
  readonly gpu: boolean
  readonly engineDir: string | undefined
}

/** How tokens are chosen, and how many. */
export interface Sampling {
  readonly maxTokens: number
  readonly temperature: number
  readonly topP: number
  readonly topK: number
  readonly minP: number
  readonly seed: number | undefined
  readonly stop: ReadonlyArray<string>
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

/** What a generation gives: pieces of text, and at last how it ended. */
export type Piece =
  | { readonly _tag: "Text"; readonly text: string }
  | { readonly _tag: "End"; readonly reason: FinishReason; readonly usage: Usage }

/** One model in memory, which several requests use at once. */
export class Engine extends Context.Service<
  Engine,
  {
    readonly contextSize: number
    readonly slots: number
    readonly busy: () => number
    readonly tokenize: (text: string) => ReadonlyArray<Token>
    readonly tokenizeChat: (
      messages: ReadonlyArray<ChatMessage>
    ) => Effect.Effect<ReadonlyArray<Token>, GenerationFailed>
    /** Refuses what does not fit before anything is computed. The signal stops the generation at the next token. */
    readonly generate: (
      prompt: ReadonlyArray<Token>,
      sampling: Sampling,
      signal: AbortSignal
    ) => Effect.Effect<Stream.Stream<Piece, GenerationFailed>, Busy | ContextLengthExceeded>
    readonly embed: (
      texts: ReadonlyArray<string>
    ) => Effect.Effect<
      { readonly vectors: ReadonlyArray<ReadonlyArray<number>>; readonly tokens: number },
      ContextLengthExceeded | GenerationFailed
    >
  }
>()("rbee/worker/Engine") {}

const batchSize = 256
const maxWaiting = 256
const largestDefaultContext = 4096
// llama.cpp moves the context on before it is full to the last token; these are beyond what a request may use.
const reserve = 16

const failed = (cause: unknown) =>
  new GenerationFailed({ reason: cause instanceof Error ? cause.message : String(cause) })

const openBackend = async ({ llama }: LlamaPackage, options: EngineOptions) => {
  const backend = await llama.getLlama({
    gpu: options.gpu ? "auto" : false,
    build: "never",
    skipDownload: true,
    progressLogs: false,
    logLevel: llama.LlamaLogLevel.error,
    maxThreads: options.threads
  })
  if (options.gpu && backend.gpu === false) {
    throw new EngineFailed({
      reason:
        "A GPU was asked for and this llama engine has no backend for it; run 'rbee engine install llama' to install the variant for the GPU, or use --worker cpu"
    })
  }
  return backend
}

const openModel = async (backend: Llama, options: EngineOptions) => {
  const model = await backend.loadModel({ modelPath: options.modelPath, gpuLayers: options.gpu ? "max" : 0 })
  const contextSize = options.contextSize ?? Math.min(model.trainContextSize, largestDefaultContext)
  const context = await model.createContext({
    contextSize: contextSize + reserve,
    sequences: options.parallel,
    batchSize,
    threads: options.threads
  })
  return { model, context, contextSize }
}

/** Loads the model. A failure leaves the process to its end: the backend may hang when it is taken down then. */
export const openEngine = Effect.fn("Engine.open")(function* (options: EngineOptions) {
  const packages = yield* loadLlamaPackage(options.engineDir)
  const { context, contextSize, model } = yield* Effect.tryPromise({
    try: async () => openModel(await openBackend(packages, options), options),
    catch: (cause) =>
      cause instanceof EngineFailed
        ? cause
        : new EngineFailed({
            reason: `The model could not be loaded: ${cause instanceof Error ? cause.message : String(cause)}`
          })
  })
  return Engine.of(makeEngine(packages, options, model, context, contextSize))
})

const makeEngine = (
  packages: LlamaPackage,
  options: EngineOptions,
  model: LlamaModel,
  context: LlamaContext,
  contextSize: number
): Engine["Service"] => {
  const sequences = Array.from({ length: options.parallel }, () => context.getSequence())
  const slots = new Slots<LlamaContextSequence>(sequences, maxWaiting)

  const withBos = (tokens: ReadonlyArray<Token>) => {
    const { bos, shouldPrependBosToken } = model.tokens
    return shouldPrependBosToken && bos !== null && tokens[0] !== bos ? [bos, ...tokens] : tokens
  }

  const sharedPrefix = (tokens: ReadonlyArray<Token>) => (sequence: LlamaContextSequence) =>
    sequence.compareContextTokens([...tokens]).firstDifferentIndex

  const run = async function* (
    prompt: ReadonlyArray<Token>,
    sampling: Sampling,
    signal: AbortSignal
  ): AsyncGenerator<Piece> {
    const askedAt = performance.now()
    const slot = await slots.acquire(sharedPrefix(prompt), signal)
    const startedAt = performance.now()
    const counts = { cached: 0, completion: 0, firstAt: startedAt }
    const end = (reason: FinishReason): Piece => ({
      _tag: "End",
      reason,
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
      const rest = await prefill(slot, prompt, counts, signal)
      if (rest === undefined) return yield end("cancelled")
      yield* sample(slot, prompt, rest, sampling, signal, counts, end)
    } finally {
      slots.release(slot)
    }
  }

  // Evaluates all but the last chunk in small steps, because nothing can be cancelled inside of a step.
  const prefill = async (
    { sequence }: Slot<LlamaContextSequence>,
    prompt: ReadonlyArray<Token>,
    counts: { cached: number },
    signal: AbortSignal
  ) => {
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

  const sample = async function* (
    { sequence }: Slot<LlamaContextSequence>,
    prompt: ReadonlyArray<Token>,
    rest: Array<Token>,
    sampling: Sampling,
    signal: AbortSignal,
    counts: { completion: number; firstAt: number },
    end: (reason: FinishReason) => Piece
  ): AsyncGenerator<Piece> {
    const text = new TextAssembler<Token>(
      (tokens, before) => model.detokenize(tokens, false, before),
      sampling.stop,
      prompt.slice(-3)
    )
    let reason: FinishReason = "stop"
    const tokens = sequence.evaluate(rest, {
      temperature: sampling.temperature,
      topP: sampling.topP,
      topK: sampling.topK,
      minP: sampling.minP,
      // Left to itself the engine takes the same seed each time.
      seed: sampling.seed ?? crypto.getRandomValues(new Uint32Array(1))[0] ?? 0
    })
    if (sampling.maxTokens === 0) return yield end("length")
    for await (const token of tokens) {
      if (counts.completion === 0) counts.firstAt = performance.now()
      counts.completion++
      const shown = text.push(token)
      if (shown !== "") yield { _tag: "Text", text: shown }
      if (text.stopped) break
      if (signal.aborted) reason = "cancelled"
      else if (counts.completion >= sampling.maxTokens) reason = "length"
      if (reason !== "stop") break
    }
    const last = text.end()
    if (last !== "") yield { _tag: "Text", text: last }
    yield end(reason)
  }

  let embedding: Promise<LlamaEmbeddingContext> | undefined
  const embedAll = async (texts: ReadonlyArray<string>) => {
    embedding ??= model.createEmbeddingContext({
      contextSize,
      batchSize: contextSize,
      threads: options.threads
    })
    const embedder = await embedding
    const vectors: Array<ReadonlyArray<number>> = []
    for (const text of texts) vectors.push((await embedder.getEmbeddingFor(text)).vector)
    return vectors
  }

  return {
    contextSize,
    slots: slots.size,
    busy: () => slots.busy,
    tokenize: (text) => withBos(model.tokenize(text, false)),
    tokenizeChat: (messages) =>
      Effect.try({ try: () => withBos(chatTokens(packages.jinja, model, messages)), catch: failed }),
    generate: Effect.fnUntraced(function* (prompt, sampling, signal) {
      if (prompt.length + sampling.maxTokens > contextSize || prompt.length === 0) {
        return yield* new ContextLengthExceeded({
          promptTokens: prompt.length,
          maxTokens: sampling.maxTokens,
          contextSize
        })
      }
      if (!slots.hasRoom) return yield* new Busy({ waiting: slots.waiting })
      return Stream.fromAsyncIterable(run(prompt, sampling, signal), failed)
    }),
    embed: Effect.fnUntraced(function* (texts) {
      let tokens = 0
      for (const text of texts) {
        const { length } = model.tokenize(text, false)
        if (length + 1 > contextSize) {
          return yield* new ContextLengthExceeded({ promptTokens: length, maxTokens: 0, contextSize })
        }
        tokens += length
      }
      const vectors = yield* Effect.tryPromise({ try: () => embedAll(texts), catch: failed })
      return { vectors, tokens }
    })
  }
}
