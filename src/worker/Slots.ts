/** Capacity for one concurrent request. Its sequence keeps the tokens that it evaluated last. */
export interface Slot<Sequence> {
  readonly sequence: Sequence
  busy: boolean
  usedAt: number
}

interface Waiting<Sequence> {
  readonly prefixOf: (sequence: Sequence) => number
  readonly give: (slot: Slot<Sequence> | undefined) => void
}

/**
 * Assigns the sequences of a context to requests. A request gets the idle sequence that shares the longest prefix with its
 * prompt; among equals, the one that was used least recently. When all are busy, requests wait in order of arrival.
 */
export class Slots<Sequence> {
  readonly #slots: ReadonlyArray<Slot<Sequence>>
  readonly #maxWaiting: number
  #waiting: Array<Waiting<Sequence>> = []
  #tick = 0

  constructor(sequences: ReadonlyArray<Sequence>, maxWaiting: number) {
    this.#slots = sequences.map((sequence) => ({ sequence, busy: false, usedAt: 0 }))
    this.#maxWaiting = maxWaiting
  }

  get size() {
    return this.#slots.length
  }

  get busy() {
    return this.#slots.filter(({ busy }) => busy).length
  }

  get waiting() {
    return this.#waiting.length
  }

  /** Whether `count` more requests may run or wait. */
  hasRoomFor(count: number) {
    return this.waiting + count <= this.#maxWaiting + Math.max(0, this.size - this.busy)
  }

  /** Waits for a slot; returns undefined when the signal aborts first. */
  acquire(
    prefixOf: (sequence: Sequence) => number,
    signal: AbortSignal
  ): Promise<Slot<Sequence> | undefined> {
    if (signal.aborted) return Promise.resolve(undefined)
    const slot = this.#take(prefixOf)
    if (slot !== undefined) return Promise.resolve(slot)
    return new Promise((resolve) => {
      const leave = () => {
        this.#waiting = this.#waiting.filter((other) => other !== waiting)
        resolve(undefined)
      }
      const waiting: Waiting<Sequence> = {
        prefixOf,
        give: (assigned) => {
          signal.removeEventListener("abort", leave)
          resolve(assigned)
        }
      }
      this.#waiting.push(waiting)
      signal.addEventListener("abort", leave, { once: true })
    })
  }

  release(slot: Slot<Sequence>) {
    slot.busy = false
    const next = this.#waiting.shift()
    if (next !== undefined) next.give(this.#take(next.prefixOf))
  }

  #take(prefixOf: (sequence: Sequence) => number) {
    let best: { readonly slot: Slot<Sequence>; readonly prefix: number } | undefined
    for (const slot of this.#slots) {
      if (slot.busy) continue
      const prefix = prefixOf(slot.sequence)
      const isBetter =
        best === undefined ||
        prefix > best.prefix ||
        (prefix === best.prefix && slot.usedAt < best.slot.usedAt)
      if (isBetter) best = { slot, prefix }
    }
    if (best === undefined) return undefined
    best.slot.busy = true
    best.slot.usedAt = ++this.#tick
    return best.slot
  }
}
