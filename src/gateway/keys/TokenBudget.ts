const minuteMillis = 60_000

/**
 * The remaining tokens of an API key, a token bucket: it refills continuously with `limit` tokens per minute, up to the
 * limit. A request reserves its estimated tokens before it runs and settles them after, so that concurrent requests share the limit.
 */
export class TokenBudget {
  #limit: number
  #available: number
  #updatedAt: number
  #reservations = 0

  constructor(limit: number, now: number) {
    this.#limit = limit
    this.#available = limit
    this.#updatedAt = now
  }

  #refill(limit: number, now: number) {
    // The clock may be set back.
    const elapsed = Math.max(0, now - this.#updatedAt)
    this.#limit = limit
    this.#available = Math.min(limit, this.#available + (elapsed * limit) / minuteMillis)
    this.#updatedAt = now
  }

  /**
   * Reserves tokens, at most the limit, or returns the seconds until they are available. Without other reservations one
   * available token is enough, because the length of the answer is unknown; the balance may become negative.
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

  /** Ends a reservation: returns unused tokens to the budget, or subtracts those used beyond the reservation. */
  settle(reserved: number, used: number, now: number) {
    this.#refill(this.#limit, now)
    this.#available = Math.min(this.#limit, this.#available + reserved - used)
    this.#reservations--
  }
}
