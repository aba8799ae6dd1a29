import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import type {
  Llama,
  LlamaContext,
  LlamaContextSequence,
  LlamaGrammar,
  LlamaModel,
  Token
} from "node-llama-cpp"
import { ChatTemplate, type ChatMessage } from "./ChatTemplate.ts"
import { Embedder } from "./Embedder.ts"
import { BadRequest, Busy, ContextLengthExceeded, EngineFailed, GenerationFailed } from "./errors.ts"
import { batchSize, Generator, type Piece, type Sampling } from "./Generator.ts"
import { jsonGrammar } from "./JsonGrammar.ts"
import { type LlamaPackage, loadLlamaPackage } from "./LlamaPackage.ts"
import { Slots } from "./Slots.ts"

/** How to load a model; sizes are tokens. */
export interface EngineOptions {
  readonly modelPath: string
  /** A chat template in Jinja that takes the place of the model's own. */
  readonly chatTemplate?: string | undefined
  /** None: what the model was trained for, at most 8,192. */
  readonly contextSize: number | undefined
  readonly parallel: number
  readonly threads: number
  /** Which backend computes: the processor, or a graphics card with all layers on it. */
  readonly gpu: boolean
  readonly engineDir: string | undefined
}

/** A text, or ids of the model's own vocabulary. */
export type TextOrTokens = string | ReadonlyArray<number>

export interface EmbedOptions {
  /** The first so many numbers of each vector; all of them when it is not said. */
  readonly dimensions: number | undefined
  /** Cuts an input that is longer than the context, which is refused otherwise. */
  readonly truncate: boolean
}

/** One model in memory, which several requests use at once. */
export class Engine extends Context.Service<
  Engine,
  {
    readonly contextSize: number
    readonly slots: number
    readonly busy: () => number
    /** A prompt that its client formatted: control tokens in a text are tokens. Refuses ids that the model does not have. */
    readonly tokenize: (input: TextOrTokens, param: string) => Effect.Effect<ReadonlyArray<Token>, BadRequest>
    /** By the model's template; control tokens in a message's text are text. */
    readonly tokenizeChat: (
      messages: ReadonlyArray<ChatMessage>,
      goesOn: boolean
    ) => Effect.Effect<ReadonlyArray<Token>, BadRequest | GenerationFailed>
    /** The grammar of what fits a JSON schema; a strict one must be held in all that it says. */
    readonly grammar: (schema: unknown, strict: boolean) => Effect.Effect<LlamaGrammar, BadRequest>
    /**
     * Answers each prompt `sampling.choices` times; the answers are numbered prompt by prompt. Refuses a prompt that does
     * not fit before anything is computed. The signal stops the generation at the next token.
     */
    readonly generate: (
      prompts: ReadonlyArray<ReadonlyArray<Token>>,
      sampling: Sampling,
      signal: AbortSignal
    ) => Effect.Effect<Stream.Stream<Piece, GenerationFailed>, BadRequest | Busy | ContextLengthExceeded>
    /** Vectors of unit length. */
    readonly embed: (
      inputs: ReadonlyArray<TextOrTokens>,
      options: EmbedOptions,
      signal: AbortSignal
    ) => Effect.Effect<
      { readonly vectors: ReadonlyArray<ReadonlyArray<number>>; readonly tokens: number },
      BadRequest | ContextLengthExceeded | GenerationFailed
    >
  }
>()("rbee/worker/Engine") {}

const maxWaiting = 256
const maxDefaultContext = 8192
// llama.cpp moves the context on before it is full to the last token; these are beyond what a request may use.
const reserve = 16

const failed = (cause: unknown) =>
  new GenerationFailed({ reason: cause instanceof Error ? cause.message : String(cause) })

const tooMuch = new BadRequest({
  reason:
    "'response_format': the engine cannot make a grammar of this schema; it refers to itself without end, or repeats too much",
  param: "response_format",
  code: "invalid_value"
})

const invalid = (param: string, reason: string) =>
  new BadRequest({ reason: `'${param}': ${reason}`, param, code: "invalid_value" })

const unknownToken = (param: string, vocabulary: number) =>
  invalid(
    param,
    `token ids are those of the model's own vocabulary, 0 to ${vocabulary - 1}; ids of another tokenizer mean nothing here, so send text`
  )

const emptyInput = (param: string) =>
  invalid(param, "an empty text has no embedding with this model; leave it out")

const tooManyDimensions = (dimensions: number) =>
  invalid("dimensions", `the model's vectors have ${dimensions} dimensions; ask for as many or fewer`)

const emptyPrompt = invalid("prompt", "the prompt is empty")

/** The prompt has to fit, with one token of an answer; with `isExact` also all that the answer may have. */
const checkFit = (
  promptTokens: number,
  { isExact, maxTokens }: Sampling,
  contextSize: number
): Effect.Effect<void, BadRequest | ContextLengthExceeded> => {
  if (promptTokens === 0) return Effect.fail(emptyPrompt)
  if (isExact && promptTokens + maxTokens > contextSize) {
    return Effect.fail(new ContextLengthExceeded({ promptTokens, maxTokens, contextSize }))
  }
  return promptTokens + Math.min(1, maxTokens) > contextSize
    ? Effect.fail(new ContextLengthExceeded({ promptTokens, contextSize }))
    : Effect.void
}

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
  const contextSize = options.contextSize ?? Math.min(model.trainContextSize, maxDefaultContext)
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

  const template = new ChatTemplate(packages.jinja, model, options.chatTemplate)
  const embedder = new Embedder(model, contextSize, options.threads)
  const vocabulary = model.fileInfo.metadata.tokenizer?.ggml.tokens.length ?? 0
  const isToken = (id: number): id is Token => id < vocabulary

  const tokensOf = (input: TextOrTokens, param: string, withControl: boolean) => {
    if (typeof input === "string") return Effect.succeed(model.tokenize(input, withControl))
    const tokens = input.filter(isToken)
    return tokens.length === input.length
      ? Effect.succeed(tokens)
      : Effect.fail(unknownToken(param, vocabulary))
  }

  const answerTo = (
    prompt: ReadonlyArray<Token>,
    sampling: Sampling,
    index: number,
    choice: number,
    signal: AbortSignal
  ) => {
    const { maxTokens, seed } = sampling
    const own = {
      ...sampling,
      maxTokens: Math.min(maxTokens, contextSize - prompt.length),
      seed: seed === undefined ? undefined : (seed + choice) % 2 ** 32
    }
    return Stream.fromAsyncIterable(generator.run(prompt, own, index, signal), failed)
  }

  return {
    contextSize,
    slots: slots.size,
    busy: () => slots.busy,
    tokenize: (input, param) => Effect.map(tokensOf(input, param, true), withBos),
    tokenizeChat: (messages, goesOn) =>
      Effect.try({
        try: () => withBos(template.tokens(messages, goesOn)),
        catch: (cause) => (cause instanceof BadRequest ? cause : failed(cause))
      }),
    grammar: (schema, strict) =>
      Effect.tryPromise({
        try: async () => model.llama.createGrammar({ grammar: jsonGrammar(schema, strict) }),
        catch: (cause) => (cause instanceof BadRequest ? cause : tooMuch)
      }),
    generate: Effect.fnUntraced(function* (prompts, sampling, signal) {
      const { choices } = sampling
      for (const prompt of prompts) yield* checkFit(prompt.length, sampling, contextSize)
      const concurrency = Math.min(prompts.length * choices, Math.max(slots.size, choices))
      if (!slots.hasRoomFor(concurrency)) return yield* new Busy({ waiting: slots.waiting })
      const answers = prompts.flatMap((prompt, number) =>
        Array.from({ length: choices }, (_, choice) =>
          answerTo(prompt, sampling, number * choices + choice, choice, signal)
        )
      )
      const [only] = answers
      return answers.length === 1 && only !== undefined ? only : Stream.mergeAll(answers, { concurrency })
    }),
    embed: Effect.fnUntraced(function* (inputs, { dimensions, truncate }, signal) {
      const { embeddingVectorSize } = model
      if (dimensions !== undefined && dimensions > embeddingVectorSize) {
        return yield* tooManyDimensions(embeddingVectorSize)
      }
      // A beginning and an end are added.
      const most = contextSize - 2
      const texts: Array<ReadonlyArray<Token>> = []
      for (const [index, input] of inputs.entries()) {
        const param = inputs.length === 1 ? "input" : `input.${index}`
        // A model that begins every text with a token of its own has a vector for an empty one too.
        const tokens = withBos(yield* tokensOf(input, param, false))
        if (tokens.length === 0) return yield* emptyInput(param)
        if (tokens.length > most && !truncate) {
          return yield* new ContextLengthExceeded({ promptTokens: tokens.length, contextSize: most })
        }
        texts.push(tokens.slice(0, most))
      }
      const vectors = yield* Effect.mapError(embedder.embed(texts, dimensions, signal), ({ cause }) =>
        failed(cause)
      )
      return { vectors, tokens: texts.reduce((sum, { length }) => sum + length, 0) }
    })
  }
}
