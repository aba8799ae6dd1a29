import type { LlamaEmbeddingContext, LlamaModel, Token } from "node-llama-cpp"

const minContext = 512

/** The vector at length 1, which is what a comparison of two by their product takes for granted. */
const unit = (vector: ReadonlyArray<number>) => {
  const length = Math.hypot(...vector)
  return length === 0 ? vector : vector.map((value) => value / length)
}

/** Makes vectors of texts, one after the other. Its context is as large as the longest text so far needs. */
export class Embedder {
  readonly #model: LlamaModel
  readonly #contextSize: number
  readonly #threads: number
  #context: { readonly size: number; readonly opened: Promise<LlamaEmbeddingContext> } | undefined
  #turn: Promise<unknown> = Promise.resolve()

  constructor(model: LlamaModel, contextSize: number, threads: number) {
    this.#model = model
    this.#contextSize = contextSize
    this.#threads = threads
  }

  /** The vectors, with so many dimensions as asked for, or all. Stops at the next text when the signal comes. */
  embed(
    inputs: ReadonlyArray<ReadonlyArray<Token>>,
    dimensions: number | undefined,
    signal: AbortSignal
  ): Promise<ReadonlyArray<ReadonlyArray<number>>> {
    const vectors = this.#turn.then(() => this.#embedAll(inputs, dimensions, signal))
    this.#turn = vectors.catch(() => {})
    return vectors
  }

  async #embedAll(
    inputs: ReadonlyArray<ReadonlyArray<Token>>,
    dimensions: number | undefined,
    signal: AbortSignal
  ) {
    const longest = inputs.reduce((most, { length }) => Math.max(most, length), 0)
    const context = await this.#contextFor(longest)
    const vectors: Array<ReadonlyArray<number>> = []
    for (const tokens of inputs) {
      if (signal.aborted) throw new Error("the request was cancelled")
      const { vector } = await context.getEmbeddingFor([...tokens])
      vectors.push(unit(dimensions === undefined ? vector : vector.slice(0, dimensions)))
    }
    return vectors
  }

  async #contextFor(tokens: number) {
    // A beginning, an end, and one that the engine keeps free.
    const needed = tokens + 3
    if (this.#context !== undefined && this.#context.size >= needed) return this.#context.opened
    const size = Math.max(
      needed,
      Math.min(this.#contextSize, Math.max(minContext, 2 ** Math.ceil(Math.log2(needed))))
    )
    const before = this.#context
    this.#context = undefined
    if (before !== undefined) await (await before.opened).dispose()
    // A text is evaluated in one batch, as engines need it that look at a text from both sides.
    const opened = this.#model.createEmbeddingContext({
      contextSize: size,
      batchSize: size,
      threads: this.#threads
    })
    this.#context = { size, opened }
    return opened
  }
}
