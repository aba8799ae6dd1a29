import * as Effect from "effect/Effect"
import type { Token } from "node-llama-cpp"
import type { Embedder } from "./Embedder.ts"
import { ContextLengthExceeded, generationFailed, invalidParameter } from "./errors.ts"
import type { TextOrTokens, Tokenizer } from "./Tokenizer.ts"

export interface EmbedOptions {
  /** Number of dimensions of each vector; default: all of the model. */
  readonly dimensions: number | undefined
  /** Truncates inputs that are longer than the context, instead of rejecting them. */
  readonly truncate: boolean
}

/** The parts of the engine that create embeddings. */
export interface EmbeddingParts {
  readonly embedder: Pick<Embedder, "embed">
  readonly tokenizer: Tokenizer
  readonly contextSize: number
  /** Dimensions of the model's vectors. */
  readonly dimensions: number
}

const emptyInput = (param: string) =>
  invalidParameter(param, "the text is empty; this model has no embedding for it, so omit it")

const tooManyDimensions = (dimensions: number) =>
  invalidParameter(
    "dimensions",
    `the model's vectors have ${dimensions} dimensions; request at most that many`
  )

// The model adds a start and an end token.
const addedTokens = 2

/** Creates a vector of unit length for each input. The signal stops before the next input. */
export const embedTexts = Effect.fnUntraced(function* (
  { contextSize, dimensions: available, embedder, tokenizer }: EmbeddingParts,
  inputs: ReadonlyArray<TextOrTokens>,
  { dimensions, truncate }: EmbedOptions,
  signal: AbortSignal
) {
  if (dimensions !== undefined && dimensions > available) return yield* tooManyDimensions(available)
  const maxLength = contextSize - addedTokens
  const texts: Array<ReadonlyArray<Token>> = []
  for (const [index, input] of inputs.entries()) {
    const param = inputs.length === 1 ? "input" : `input.${index}`
    // With a BOS token, even an empty text has a vector.
    const tokens = tokenizer.withBos(yield* tokenizer.tokens(input, param, false))
    if (tokens.length === 0) return yield* emptyInput(param)
    if (tokens.length > maxLength && !truncate) {
      return yield* new ContextLengthExceeded({ promptTokens: tokens.length, contextSize: maxLength })
    }
    texts.push(tokens.slice(0, maxLength))
  }
  const vectors = yield* Effect.mapError(embedder.embed(texts, dimensions, signal), ({ cause }) =>
    generationFailed(cause)
  )
  return { vectors, tokens: texts.reduce((sum, { length }) => sum + length, 0) }
})
