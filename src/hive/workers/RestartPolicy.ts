const maxRestarts = 3
const firstDelay = 500
const maxDelay = 8000
const steadyAfter = 60_000

/** Counts the crashes of one worker in a row. A process that was ready for over a minute starts the count again. */
export class RestartPolicy {
  #crashes = 0

  get crashes() {
    return this.#crashes
  }

  get maxRestarts() {
    return maxRestarts
  }

  /**
   * Records a crash of a process that was ready for `uptime` milliseconds. Returns the delay before the restart in
   * milliseconds, or `undefined` when the worker is not restarted any more.
   */
  nextDelay(uptime: number): number | undefined {
    this.#crashes = uptime > steadyAfter ? 1 : this.#crashes + 1
    return this.#crashes > maxRestarts ? undefined : Math.min(maxDelay, firstDelay * 2 ** (this.#crashes - 1))
  }
}
