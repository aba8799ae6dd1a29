interface Entry {
  readonly at: number
  readonly order: number
  readonly happen: () => void
}

const before = (left: Entry, right: Entry) => left.at - right.at || left.order - right.order

/** What will happen, in the order of its time; a binary heap. */
export class Timeline {
  readonly #heap: Array<Entry> = []
  #count = 0
  now = 0

  get isEmpty() {
    return this.#heap.length === 0
  }

  after(delay: number, happen: () => void) {
    const heap = this.#heap
    heap.push({ at: this.now + delay, order: this.#count++, happen })
    let child = heap.length - 1
    while (child > 0) {
      const parent = (child - 1) >> 1
      if (!this.#swap(parent, child)) break
      child = parent
    }
  }

  /** Lets the next thing happen. */
  step() {
    const heap = this.#heap
    const [first] = heap
    const last = heap.pop()
    if (first === undefined || last === undefined) return
    if (heap.length > 0) {
      heap[0] = last
      let parent = 0
      for (let child = 1; child < heap.length; child = 2 * parent + 1) {
        const [left, right] = [heap[child], heap[child + 1]]
        if (left !== undefined && right !== undefined && before(right, left) < 0) child++
        if (!this.#swap(parent, child)) break
        parent = child
      }
    }
    this.now = first.at
    first.happen()
  }

  #swap(parent: number, child: number) {
    const [upper, lower] = [this.#heap[parent], this.#heap[child]]
    if (upper === undefined || lower === undefined || before(upper, lower) <= 0) return false
    this.#heap[parent] = lower
    this.#heap[child] = upper
    return true
  }
}
