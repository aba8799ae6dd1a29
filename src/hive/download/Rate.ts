const window = 5_000
const settledAfter = 1_000

interface Sample {
  readonly at: number
  readonly bytes: number
}

/** What is known of the speed of a download: bytes a second, and the milliseconds that are left. */
export interface Speed {
  readonly rate?: number
  readonly eta_ms?: number
}

/** Measures the speed over the last five seconds. Before a second has passed, nothing is known. */
export class Rate {
  #samples: Array<Sample> = []

  /** Takes how many bytes are there at a time in milliseconds, of how many. */
  measure(at: number, bytes: number, total: number | undefined): Speed {
    const before = this.#samples.at(-1)
    // A download that began anew is another one.
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
