import type * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import { setBounded } from "./boundedMap.ts"

/** Warnings about hives, each shown for `shownMillis` after it was last repeated. */
export class HiveWarnings {
  readonly #clock: Clock.Clock
  readonly #shownMillis: number
  readonly #warnings = new Map<string, { readonly at: number; readonly text: string }>()

  constructor(clock: Clock.Clock, shownMillis: number) {
    this.#clock = clock
    this.#shownMillis = shownMillis
  }

  /** The warning shown for the hive. */
  current(alias: string): string | undefined {
    const warning = this.#warnings.get(alias)
    if (warning === undefined) return undefined
    return this.#clock.currentTimeMillisUnsafe() - warning.at < this.#shownMillis ? warning.text : undefined
  }

  /** Shows the warning, and logs it unless it is shown already. */
  readonly warn = Effect.fn("HiveWarnings.warn")({ self: this }, function* (alias: string, text: string) {
    if (this.current(alias) !== text) yield* Effect.logWarning(text, { hive: alias })
    setBounded(this.#warnings, alias, { at: this.#clock.currentTimeMillisUnsafe(), text })
  })
}
