import type * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import type { Deadline } from "../../http/deadlines.ts"
import type { Settings } from "../../settings/Settings.ts"
import { HiveTimeout } from "./errors.ts"

/** What one attempt has received from a hive, and the deadlines for what it must receive next. */
export class StreamActivity {
  readonly #clock: Clock.Clock
  readonly #hive: string
  readonly #startedAt: number
  /** When the hive last sent anything; absent while the connection is broken, and before it exists. */
  lastByteAt: number | undefined
  hasEvents = false
  isBroken = false
  /** Whether a deadline has passed. */
  isOverdue = false

  constructor(hive: string, clock: Clock.Clock) {
    this.#hive = hive
    this.#clock = clock
    this.#startedAt = clock.currentTimeMillisUnsafe()
  }

  receivedBytes() {
    this.lastByteAt = this.#clock.currentTimeMillisUnsafe()
  }

  connectionLost() {
    this.isBroken = true
    this.lastByteAt = undefined
  }

  connectionResumed() {
    this.isBroken = false
    this.receivedBytes()
  }

  /** How long the hive has sent nothing, in milliseconds; at most since `since`. */
  silentFor(since: number) {
    return this.#clock.currentTimeMillisUnsafe() - (this.lastByteAt ?? since)
  }

  deadlines({
    firstEvent,
    idle,
    total
  }: Settings["Service"]["timeouts"]): ReadonlyArray<Deadline<HiveTimeout>> {
    const deadline = (
      limit: HiveTimeout["limit"],
      after: Duration.Duration,
      since: () => number | undefined
    ): Deadline<HiveTimeout> => ({
      millis: Duration.toMillis(after),
      since,
      error: () => {
        this.isOverdue = true
        return new HiveTimeout({ hive: this.#hive, limit, seconds: Duration.toSeconds(after) })
      }
    })
    return [
      deadline("first_event", firstEvent, () =>
        this.hasEvents || this.isBroken ? undefined : this.#startedAt
      ),
      deadline("idle", idle, () => this.lastByteAt),
      ...(total === undefined ? [] : [deadline("total", total, () => this.#startedAt)])
    ]
  }
}
