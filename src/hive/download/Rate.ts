const window = 5_000
const settledAfter = 1_000

interface Sample {
  readonly at: number
  readonly bytes: number
}

/** The speed of a download in bytes per second, and the remaining time in milliseconds; absent while unknown. */
export interface Speed {
  readonly rate?: number
  readonly eta_ms?: number
}

/** Measures the speed over the last five seconds; it is unknown during the first second. */
export class Rate {
  #samples: Array<Sample> = []

  /** Adds a sample: the received bytes at a time in milliseconds. */
  measure(at: number, bytes: number, total: number | undefined): Speed {
    const before = this.#samples.at(-1)
    // Fewer bytes mean that the download started again.
    if (before !== undefined && bytes < before.bytes) this.#samples = []
    this.#samples.push({ at, bytes })
    while ((this.#samples[1]?.at ?? at) <= at - window) this.#samples.shift()
    const [first] = this.#samples
    if (first === undefined || at - first.at < settledAfter) return {}
    const rate = Math.round(((bytes - first.bytes) * 1000) / (at - first.at))
    if (total === undefined || rate === 0) return { rate }
    return { rate, eta_ms: Math.round(((total - bytes) * 1000) / rate) }
  }
}
