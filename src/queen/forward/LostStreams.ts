import * as Effect from "effect/Effect"

/** Logs a lost connection once per hive, although each stream to the hive has a connection of its own. */
export class LostStreams {
  readonly #lost = new Map<string, number>()

  lost(hive: string, reason: string) {
    return Effect.suspend(() => {
      const before = this.#lost.get(hive) ?? 0
      this.#lost.set(hive, before + 1)
      return before > 0
        ? Effect.void
        : Effect.logWarning("connection to a hive lost; reconnecting", { hive, reason })
    })
  }

  resumed(hive: string) {
    return Effect.suspend(() =>
      this.#remove(hive) === 0 ? Effect.logInfo("reconnected to a hive", { hive }) : Effect.void
    )
  }

  /** The stream has ended without being resumed. */
  abandoned(hive: string) {
    return Effect.sync(() => void this.#remove(hive))
  }

  #remove(hive: string) {
    const left = (this.#lost.get(hive) ?? 1) - 1
    if (left > 0) this.#lost.set(hive, left)
    else this.#lost.delete(hive)
    return left
  }
}
