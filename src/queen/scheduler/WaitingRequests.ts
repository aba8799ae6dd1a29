import { TransientMap } from "../../http/TransientMap.ts"
import type { QueuedRequest } from "./messages.ts"

/** The requests that wait for workers of one model, ordered by waiting time, priority and fairness between keys. */
export class WaitingRequests {
  readonly #starvationBound: number
  readonly #requests = new TransientMap<string, QueuedRequest>()
  /** Tokens granted to each key, since the model last had no requests. */
  readonly #granted = new Map<string, number>()

  constructor(starvationBound: number) {
    this.#starvationBound = starvationBound
  }

  get size() {
    return this.#requests.size
  }

  has(id: string) {
    return this.#requests.has(id)
  }

  /** In order of arrival. */
  values(): Iterable<QueuedRequest> {
    return this.#requests.values()
  }

  filter(test: (request: QueuedRequest) => boolean): ReadonlyArray<QueuedRequest> {
    return [...this.#requests.values()].filter(test)
  }

  add(request: QueuedRequest) {
    this.#requests.set(request.id, request)
    // A new key starts level with the key that was granted the least, without credit for the past.
    if (this.#granted.has(request.key)) return
    const least = Math.min(...this.#granted.values())
    this.#granted.set(request.key, Number.isFinite(least) ? least : 0)
  }

  remove(id: string) {
    return this.#requests.delete(id)
  }

  /** Removes a request that gets a worker, and counts its tokens against its key. */
  grant({ id, key, tokens }: QueuedRequest) {
    this.#requests.delete(id)
    this.#granted.set(key, (this.#granted.get(key) ?? 0) + tokens)
  }

  /** Forgets how much each key was granted. */
  resetShares() {
    this.#granted.clear()
  }

  /**
   * In the order of service: starving requests first, oldest first; then by priority, then the key that was granted the
   * fewest tokens, then by arrival.
   */
  inOrder(now: number): ReadonlyArray<QueuedRequest> {
    const requests = [...this.#requests.values()]
    if (requests.length < 2) return requests
    const granted = ({ key }: QueuedRequest) => this.#granted.get(key) ?? 0
    const isStarving = ({ askedAt }: QueuedRequest) => now - askedAt >= this.#starvationBound
    return requests.sort(
      (left, right) =>
        Number(isStarving(right)) - Number(isStarving(left)) ||
        (isStarving(left)
          ? left.askedAt - right.askedAt
          : right.priority - left.priority || granted(left) - granted(right) || left.askedAt - right.askedAt)
    )
  }
}
