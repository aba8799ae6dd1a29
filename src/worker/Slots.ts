/** A place where one request at a time generates, and what it evaluated last. */
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
 * The sequences of a context. A request gets the idle one that shares the longest prefix with it, else the one that
 * was idle longest; when all are busy it waits its turn.
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

  /** Whether so many more requests may run or wait. */
  hasRoomFor(count: number) {
    return this.waiting + count <= this.#maxWaiting + Math.max(0, this.size - this.busy)
  }

  /** A slot, or nothing when the signal came first. */
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
        give: (given) => {
          signal.removeEventListener("abort", leave)
          resolve(given)
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
