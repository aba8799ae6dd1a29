import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import type {
  Llama,
  LlamaContext,
  LlamaContextSequence,
  LlamaEmbeddingContext,
  LlamaGrammar,
  LlamaModel,
  Token
} from "node-llama-cpp"
import { chatTokens, type ChatMessage } from "./ChatTemplate.ts"
import { BadRequest, Busy, ContextLengthExceeded, EngineFailed, GenerationFailed } from "./errors.ts"
import { batchSize, Generator, type Piece, type Sampling } from "./Generator.ts"
import { jsonGrammar } from "./JsonGrammar.ts"
import { type LlamaPackage, loadLlamaPackage } from "./LlamaPackage.ts"
import { Slots } from "./Slots.ts"

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

/** One model in memory, which several requests use at once. */
export class Engine extends Context.Service<
  Engine,
  {
    readonly contextSize: number
    readonly slots: number
    readonly busy: () => number
    readonly tokenize: (text: string) => ReadonlyArray<Token>
    readonly tokenizeChat: (
      messages: ReadonlyArray<ChatMessage>,
      goesOn: boolean
    ) => Effect.Effect<ReadonlyArray<Token>, BadRequest | GenerationFailed>
    /** The grammar of what fits a JSON schema; a strict one must be held in all that it says. */
    readonly grammar: (schema: unknown, strict: boolean) => Effect.Effect<LlamaGrammar, BadRequest>
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

const maxWaiting = 256
const largestDefaultContext = 4096
// llama.cpp moves the context on before it is full to the last token; these are beyond what a request may use.
const reserve = 16

const failed = (cause: unknown) =>
  new GenerationFailed({ reason: cause instanceof Error ? cause.message : String(cause) })

const refusedOrFailed = (cause: unknown) => (cause instanceof BadRequest ? cause : failed(cause))

const tooMuch = new BadRequest({
  reason:
    "'response_format': the engine cannot make a grammar of this schema; it refers to itself without end, or repeats too much",
  param: "response_format",
  code: "invalid_value"
})

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

/** Tells every tenth of the way, for a hive that reads the log. */
const loadTeller = () => {
  let told = 0
  return (loaded: number) => {
    const percent = Math.floor(loaded * 10) * 10
    if (percent <= told || percent >= 100) return
    told = percent
    process.stdout.write(`Loaded ${percent}% of the model\n`)
  }
}

const openModel = async (backend: Llama, options: EngineOptions) => {
  const model = await backend.loadModel({
    modelPath: options.modelPath,
    gpuLayers: options.gpu ? "max" : 0,
    onLoadProgress: loadTeller()
  })
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
  const generator = new Generator(packages, model, slots)

  const withBos = (tokens: ReadonlyArray<Token>) => {
    const { bos, shouldPrependBosToken } = model.tokens
    return shouldPrependBosToken && bos !== null && tokens[0] !== bos ? [bos, ...tokens] : tokens
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
    tokenizeChat: (messages, goesOn) =>
      Effect.try({
        try: () => withBos(chatTokens(packages.jinja, model, messages, goesOn)),
        catch: refusedOrFailed
      }),
    grammar: (schema, strict) =>
      Effect.tryPromise({
        try: async () => model.llama.createGrammar({ grammar: jsonGrammar(schema, strict) }),
        catch: (cause) => (cause instanceof BadRequest ? cause : tooMuch)
      }),
    generate: Effect.fnUntraced(function* (prompt, sampling, signal) {
      if (prompt.length + sampling.maxTokens > contextSize || prompt.length === 0) {
        return yield* new ContextLengthExceeded({
          promptTokens: prompt.length,
          maxTokens: sampling.maxTokens,
          contextSize
        })
      }
      if (!slots.hasRoomFor(sampling.choices)) return yield* new Busy({ waiting: slots.waiting })
      const answer = (index: number) =>
        Stream.fromAsyncIterable(generator.run(prompt, sampling, index, signal), failed)
      if (sampling.choices === 1) return answer(0)
      const answers = Array.from({ length: sampling.choices }, (_, index) => answer(index))
      return Stream.mergeAll(answers, { concurrency: sampling.choices })
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
