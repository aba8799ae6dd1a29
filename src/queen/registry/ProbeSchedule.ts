import type { KnownHive } from "./HiveRecord.ts"

const minToSuspect = 3

/** Whether so many of the hives seen before are lost that the fault is more likely in this machine's network. */
export const isOwnNetworkSuspect = (lost: number, seen: number) => lost >= minToSuspect && lost * 2 > seen

/** Decides which hives are due for a probe: those silent for a heartbeat interval, at most twice per interval. */
export class ProbeSchedule {
  readonly #interval: number
  readonly #probedAt = new Map<string, number>()

  /** `interval`: the time between two heartbeats, in milliseconds. */
  constructor(interval: number) {
    this.#interval = interval
  }

  /** The hives to probe now; counts them as probed, and drops the times of hives that no longer exist. */
  take(hives: ReadonlyArray<KnownHive>, now: number): ReadonlyArray<KnownHive> {
    const aliases = new Set(hives.map(({ record }) => record.alias))
    for (const alias of this.#probedAt.keys()) if (!aliases.has(alias)) this.#probedAt.delete(alias)
    const due = hives.filter((hive) => this.#isDue(hive, now))
    for (const { record } of due) this.#probedAt.set(record.alias, now)
    return due
  }

  #isDue({ lastSeen = Number.NEGATIVE_INFINITY, record: { alias, source } }: KnownHive, now: number) {
    if (source === "default" || now - lastSeen < this.#interval) return false
    return now - (this.#probedAt.get(alias) ?? Number.NEGATIVE_INFINITY) >= this.#interval / 2
  }
}
