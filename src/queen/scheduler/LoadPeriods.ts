/** When a worker of each model was last loaded. Times in milliseconds. */
export class LoadPeriods {
  readonly #periods = new Map<string, { readonly from: number; to?: number }>()

  /** Records the start of a load; returns how to record its end. */
  start(model: string, now: number): (now: number) => void {
    const period: { readonly from: number; to?: number } = { from: now }
    this.#periods.set(model, period)
    return (now) => {
      period.to = now
    }
  }

  /** The part of the time from `askedAt` to `now` in which a worker of the model was loading. */
  during(model: string, askedAt: number, now: number) {
    const { from, to = now } = this.#periods.get(model) ?? { from: now }
    return Math.max(0, to - Math.max(askedAt, from))
  }
}
