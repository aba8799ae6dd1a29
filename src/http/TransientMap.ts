/**
 * A map, in the order of arrival, of what is there for a while only: the requests of a daemon, those who wait or read.
 * When a `Map` makes itself a new table, V8 leads the old one to it; so, once one of them has become old, all that
 * came after it is kept until the next full collection, with what was in the map at each change of tables, though it has
 * long been deleted. Here only empty cells are kept.
 */
export class TransientMap<K, V extends {}> {
  readonly #cells = new Map<K, { value: V | undefined }>()

  get size() {
    return this.#cells.size
  }

  has(key: K) {
    return this.#cells.has(key)
  }

  get(key: K) {
    return this.#cells.get(key)?.value
  }

  set(key: K, value: V) {
    const cell = this.#cells.get(key)
    if (cell === undefined) this.#cells.set(key, { value })
    else cell.value = value
  }

  /** Whether it was there. */
  delete(key: K) {
    const cell = this.#cells.get(key)
    if (cell === undefined) return false
    cell.value = undefined
    return this.#cells.delete(key)
  }

  keys() {
    return this.#cells.keys()
  }

  *values(): Generator<V> {
    for (const { value } of this.#cells.values()) if (value !== undefined) yield value
  }
}
