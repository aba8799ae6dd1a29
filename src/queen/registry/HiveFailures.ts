/** Why a hive accepts no work, regardless of its last heartbeat. */
export interface HiveFailure {
  readonly state: "unreachable" | "stopped"
  readonly reason: string
}

/** The hives that are unreachable or stopped, and the callbacks for hives that fail later. */
export class HiveFailures {
  readonly #failures = new Map<string, HiveFailure>()
  readonly #watchers = new Map<string, Set<(reason: string) => void>>()
  #changes = 0

  /** Increases whenever a hive fails or recovers. */
  get changes() {
    return this.#changes
  }

  get(alias: string): HiveFailure | undefined {
    return this.#failures.get(alias)
  }

  has(alias: string) {
    return this.#failures.has(alias)
  }

  /** Counts a change that is not a failure, such as a new hive. */
  countChange() {
    this.#changes++
  }

  fail(alias: string, failure: HiveFailure) {
    // A stopped hive is expected not to answer.
    if (this.#failures.get(alias)?.state === "stopped") return
    if (!this.#failures.has(alias)) this.#changes++
    this.#failures.set(alias, failure)
    const watchers = this.#watchers.get(alias) ?? []
    this.#watchers.delete(alias)
    for (const call of watchers) call(failure.reason)
  }

  recover(alias: string) {
    if (this.#failures.delete(alias)) this.#changes++
  }

  /** Calls `call` once with the reason, immediately if the hive has failed already. Returns how to unsubscribe. */
  onFailure(alias: string, call: (reason: string) => void): () => void {
    const failure = this.#failures.get(alias)
    if (failure !== undefined) {
      call(failure.reason)
      return () => {}
    }
    const watchers = this.#watchers.get(alias) ?? new Set()
    this.#watchers.set(alias, watchers.add(call))
    return () => {
      watchers.delete(call)
      if (watchers.size === 0 && this.#watchers.get(alias) === watchers) this.#watchers.delete(alias)
    }
  }
}
