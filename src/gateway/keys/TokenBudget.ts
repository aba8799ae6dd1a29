const minuteMillis = 60_000

/**
 * The tokens that a key has left. They come back evenly, `limit` in a minute, and never exceed the limit. A request reserves
 * what it may need before it runs and settles what it used, so that requests at the same time share the limit.
 */
export class TokenBudget {
  #limit: number
  #available: number
  #at: number
  #reservations = 0

  constructor(limit: number, now: number) {
    this.#limit = limit
    this.#available = limit
    this.#at = now
  }

  #refill(limit: number, now: number) {
    // The clock may be set back.
    const elapsed = Math.max(0, now - this.#at)
    this.#limit = limit
    this.#available = Math.min(limit, this.#available + (elapsed * limit) / minuteMillis)
    this.#at = now
  }

  /**
   * Reserves tokens, at most the limit, or returns the seconds after which they will be there. A request that is alone needs
   * only one of them, as nobody knows how long its answer becomes; what it uses beyond the rest is a debt.
   */
  reserve(
    tokens: number,
    limit: number,
    now: number
  ): { readonly reserved: number } | { readonly waitSeconds: number } {
    this.#refill(limit, now)
    const reserved = Math.min(tokens, limit)
    const needed = this.#reservations === 0 ? 1 : reserved
    if (this.#available < needed)
      return { waitSeconds: ((needed - this.#available) * minuteMillis) / limit / 1000 }
    this.#available -= reserved
    this.#reservations++
    return { reserved }
  }

  /** Ends a reservation: what was not used is there again, what was used beyond it is missing. */
  settle(reserved: number, used: number, now: number) {
    this.#refill(this.#limit, now)
    this.#available = Math.min(this.#limit, this.#available + reserved - used)
    this.#reservations--
  }
}
