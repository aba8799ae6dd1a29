/**
 * An insertion-ordered map for entries that come and go, such as the requests of a daemon. A `Map` that grows or shrinks
 * replaces its internal table, and V8 links the old table to the new one. Once an old table has been promoted, it retains
 * all later tables with their deleted entries until the next full garbage collection. This map retains only empty cells.
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

  /** Returns whether the entry existed. */
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
