import * as Effect from "effect/Effect"
import type { LlamaModel, Token } from "node-llama-cpp"
import { invalidParameter, type BadRequest } from "./errors.ts"

/** A text, or token ids of the model's vocabulary. */
export type TextOrTokens = string | ReadonlyArray<number>

/** The tokenizer of a model. */
export interface TokenizerModel {
  readonly tokenize: (text: string, withControl: boolean) => ReadonlyArray<Token>
  readonly tokens: Pick<LlamaModel["tokens"], "bos" | "shouldPrependBosToken">
}

const unknownToken = (param: string, vocabulary: number) =>
  invalidParameter(
    param,
    `token ids must be of this model's vocabulary, 0 to ${vocabulary - 1}; send text instead of another tokenizer's ids`
  )

/** Converts texts to tokens, and checks token ids of clients. */
export class Tokenizer {
  readonly #model: TokenizerModel
  readonly #vocabulary: number

  constructor(model: TokenizerModel, vocabulary: number) {
    this.#model = model
    this.#vocabulary = vocabulary
  }

  /** Tokens of the input, without a BOS token. With `withControl`, control tokens in a text are tokens. */
  tokens(
    input: TextOrTokens,
    param: string,
    withControl: boolean
  ): Effect.Effect<ReadonlyArray<Token>, BadRequest> {
    if (typeof input === "string") return Effect.succeed(this.#model.tokenize(input, withControl))
    const isToken = (id: number): id is Token => id < this.#vocabulary
    const tokens = input.filter(isToken)
    return tokens.length === input.length
      ? Effect.succeed(tokens)
      : Effect.fail(unknownToken(param, this.#vocabulary))
  }

  /** The tokens with a BOS token in front if the model requires one and it is missing. */
  withBos(tokens: ReadonlyArray<Token>): ReadonlyArray<Token> {
    const { bos, shouldPrependBosToken } = this.#model.tokens
    return shouldPrependBosToken && bos !== null && tokens[0] !== bos ? [bos, ...tokens] : tokens
  }
}
