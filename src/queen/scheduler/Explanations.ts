import type { Candidate, Decision } from "./decide.ts"

/** The decision for a request, with the candidates considered. */
export interface Explanation {
  readonly decision: Decision
  readonly candidates: ReadonlyArray<Candidate>
}

const maxRequests = 256

/** The explanations of the last 256 requests, one for each attempt. */
export class Explanations {
  readonly #byRequest = new Map<string, ReadonlyArray<Explanation>>()

  get(id: string): ReadonlyArray<Explanation> {
    return this.#byRequest.get(id) ?? []
  }

  add(id: string, explanation: Explanation) {
    this.#byRequest.set(id, [...this.get(id), explanation])
    const [oldest] = this.#byRequest.keys()
    if (this.#byRequest.size > maxRequests && oldest !== undefined) this.#byRequest.delete(oldest)
  }
}
