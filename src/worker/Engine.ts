import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import type * as Stream from "effect/Stream"
import type { LlamaContextSequence, LlamaGrammar, Token } from "node-llama-cpp"
import { ChatTemplate, type ChatMessage } from "./ChatTemplate.ts"
import { Embedder } from "./Embedder.ts"
import { type EmbedOptions, embedTexts } from "./embedTexts.ts"
import {
  BadRequest,
  type Busy,
  type ContextLengthExceeded,
  type GenerationFailed,
  generationFailed
} from "./errors.ts"
import { generateAnswers } from "./generateAnswers.ts"
import { Generator, type Piece, type Sampling } from "./Generator.ts"
import { jsonGrammar } from "./JsonGrammar.ts"
import { type LlamaPackage, loadLlamaPackage } from "./LlamaPackage.ts"
import { type EngineOptions, type OpenModel, openModel } from "./openModel.ts"
import { Slots } from "./Slots.ts"
import { type TextOrTokens, Tokenizer } from "./Tokenizer.ts"

/** A loaded model, shared by concurrent requests. */
export class Engine extends Context.Service<
  Engine,
  {
    readonly contextSize: number
    readonly slots: number
    readonly busy: () => number
    /** Tokenizes a prompt without a chat template; control tokens in a text are tokens. Fails for unknown token ids. */
    readonly tokenize: (input: TextOrTokens, param: string) => Effect.Effect<ReadonlyArray<Token>, BadRequest>
    /** Tokenizes a chat with the model's template; control tokens in a message's text are text. */
    readonly tokenizeChat: (
      messages: ReadonlyArray<ChatMessage>,
      continuesLast: boolean
    ) => Effect.Effect<ReadonlyArray<Token>, BadRequest | GenerationFailed>
    /** The grammar of a JSON schema. If strict, fails for keywords that the grammar cannot enforce. */
    readonly grammar: (schema: unknown, strict: boolean) => Effect.Effect<LlamaGrammar, BadRequest>
    /**
     * Generates `sampling.choices` answers to each prompt; the answers are numbered prompt by prompt. Fails before any work
     * if a prompt does not fit. The signal stops generation at the next token.
     */
    readonly generate: (
      prompts: ReadonlyArray<ReadonlyArray<Token>>,
      sampling: Sampling,
      signal: AbortSignal
    ) => Effect.Effect<Stream.Stream<Piece, GenerationFailed>, BadRequest | Busy | ContextLengthExceeded>
    /** Creates a vector of unit length for each input. */
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

const schemaTooLarge = new BadRequest({
  reason:
    "'response_format': the engine cannot create a grammar for this schema, because it recurses without end or repeats too often; simplify the schema",
  param: "response_format",
  code: "invalid_value"
})

const makeEngine = (
  packages: LlamaPackage,
  options: EngineOptions,
  { context, contextSize, model }: OpenModel
): Engine["Service"] => {
  const sequences = Array.from({ length: options.parallel }, () => context.getSequence())
  const slots = new Slots<LlamaContextSequence>(sequences, maxWaiting)
  const generation = { generator: new Generator(packages, model, slots), slots, contextSize }
  const tokenizer = new Tokenizer(model, model.fileInfo.metadata.tokenizer?.ggml.tokens.length ?? 0)
  const template = new ChatTemplate(packages.jinja, model, options.chatTemplate)
  const embedder = new Embedder(model, contextSize, options.threads)
  const embedding = { embedder, tokenizer, contextSize, dimensions: model.embeddingVectorSize }
  return {
    contextSize,
    slots: slots.size,
    busy: () => slots.busy,
    tokenize: (input, param) =>
      Effect.map(tokenizer.tokens(input, param, true), (tokens) => tokenizer.withBos(tokens)),
    tokenizeChat: (messages, continuesLast) =>
      Effect.try({
        try: () => tokenizer.withBos(template.tokens(messages, continuesLast)),
        catch: (cause) => (cause instanceof BadRequest ? cause : generationFailed(cause))
      }),
    grammar: (schema, strict) =>
      Effect.tryPromise({
        try: async () => model.llama.createGrammar({ grammar: jsonGrammar(schema, strict) }),
        catch: (cause) => (cause instanceof BadRequest ? cause : schemaTooLarge)
      }),
    generate: (prompts, sampling, signal) => generateAnswers(generation, prompts, sampling, signal),
    embed: (inputs, embedOptions, signal) => embedTexts(embedding, inputs, embedOptions, signal)
  }
}

/** Loads the engine and the model. After a failure the process must exit, because releasing the backend may hang. */
export const openEngine = Effect.fn("Engine.open")(function* (options: EngineOptions) {
  const packages = yield* loadLlamaPackage(options.engineDir)
  return Engine.of(makeEngine(packages, options, yield* openModel(packages, options)))
})
