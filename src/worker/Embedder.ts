import * as Effect from "effect/Effect"
import type { Token } from "node-llama-cpp"

interface EmbeddingContext {
  readonly getEmbeddingFor: (tokens: Array<Token>) => Promise<{ readonly vector: ReadonlyArray<number> }>
  readonly dispose: () => Promise<void>
}

/** The part of a model that creates embeddings. */
export interface EmbeddingModel {
  readonly createEmbeddingContext: (options: {
    readonly contextSize: number
    readonly batchSize: number
    readonly threads: number
  }) => Promise<EmbeddingContext>
}

const minContext = 512

/** Normalizes a vector to length 1, which comparisons by dot product require. */
const unit = (vector: ReadonlyArray<number>) => {
  const length = Math.hypot(...vector)
  return length === 0 ? vector : vector.map((value) => value / length)
}

const cancelled = () => new Error("the request was cancelled")

/** Embeds texts, one at a time. Its context grows with the longest text. */
export class Embedder {
  readonly #model: EmbeddingModel
  readonly #contextSize: number
  readonly #threads: number
  #context: { readonly size: number; readonly opened: Promise<EmbeddingContext> } | undefined
  #turn: Promise<unknown> = Promise.resolve()

  constructor(model: EmbeddingModel, contextSize: number, threads: number) {
    this.#model = model
    this.#contextSize = contextSize
    this.#threads = threads
  }

  /**
   * The vectors of the inputs, truncated to `dimensions`. The signal takes effect before the next text, because the engine
   * cannot interrupt a batch, and each text is one batch. Interruption waits until the work has stopped.
   */
  embed(inputs: ReadonlyArray<ReadonlyArray<Token>>, dimensions: number | undefined, signal: AbortSignal) {
    return Effect.suspend(() => {
      let work: Promise<unknown> = Promise.resolve()
      return Effect.tryPromise((interrupted) => {
        const vectors = this.#inTurn(AbortSignal.any([signal, interrupted]), (aborted) =>
          this.#embedAll(inputs, dimensions, aborted)
        )
        work = vectors.catch(() => {})
        return vectors
      }).pipe(Effect.onInterrupt(() => Effect.promise(() => work)))
    })
  }

  // A cancelled request that is still waiting rejects at once.
  #inTurn<A>(signal: AbortSignal, run: (signal: AbortSignal) => Promise<A>): Promise<A> {
    return new Promise((resolve, reject) => {
      let hasBegun = false
      const leave = () => {
        if (!hasBegun) reject(cancelled())
      }
      signal.addEventListener("abort", leave, { once: true })
      this.#turn = this.#turn.then(async () => {
        hasBegun = true
        try {
          resolve(await run(signal))
        } catch (cause) {
          reject(cause)
        } finally {
          signal.removeEventListener("abort", leave)
        }
      })
    })
  }

  async #embedAll(
    inputs: ReadonlyArray<ReadonlyArray<Token>>,
    dimensions: number | undefined,
    signal: AbortSignal
  ) {
    if (signal.aborted) throw cancelled()
    const longest = inputs.reduce((max, { length }) => Math.max(max, length), 0)
    const context = await this.#contextFor(longest)
    const vectors: Array<ReadonlyArray<number>> = []
    for (const tokens of inputs) {
      if (signal.aborted) throw cancelled()
      const { vector } = await context.getEmbeddingFor([...tokens])
      vectors.push(unit(dimensions === undefined ? vector : vector.slice(0, dimensions)))
    }
    return vectors
  }

  async #contextFor(tokens: number) {
    // A start token, an end token, and one that the engine keeps free.
    const needed = tokens + 3
    if (this.#context !== undefined && this.#context.size >= needed) return this.#context.opened
    const size = Math.max(
      needed,
      Math.min(this.#contextSize, Math.max(minContext, 2 ** Math.ceil(Math.log2(needed))))
    )
    const before = this.#context
    this.#context = undefined
    if (before !== undefined) await (await before.opened).dispose()
    // Models with bidirectional attention must evaluate a text in one batch.
    const opened = this.#model.createEmbeddingContext({
      contextSize: size,
      batchSize: size,
      threads: this.#threads
    })
    this.#context = { size, opened }
    return opened
  }
}
