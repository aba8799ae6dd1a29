import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"

/** A place in a line. */
export interface QueueTicket {
  readonly isFirst: () => boolean
  /** How many stand before it. */
  readonly position: () => number
  /** Returns when something has changed that it may have waited for; for the first after a moment in any case. */
  readonly change: Effect.Effect<void>
}

const lookAgainAfter = "250 millis"

/** Lines of those who wait for the same, in the order in which they came. */
export class WorkerQueue {
  readonly #lines = new Map<string, Array<{ wake: Deferred.Deferred<void> }>>()

  /** How many stand in a line. */
  lengthOf(name: string) {
    return this.#lines.get(name)?.length ?? 0
  }

  /** Has the first of each line look whether its turn has come. */
  readonly wake = Effect.sync(() => {
    for (const [first] of this.#lines.values())
      if (first !== undefined) Deferred.doneUnsafe(first.wake, Effect.void)
  })

  /** Stands in a line as long as the effect runs. */
  stand<A, E, R>(
    name: string,
    effect: (place: QueueTicket) => Effect.Effect<A, E, R>
  ): Effect.Effect<A, E, R> {
    const enter = Effect.sync(() => {
      const line = this.#lines.get(name) ?? []
      const waiter = { wake: Deferred.makeUnsafe<void>() }
      this.#lines.set(name, line)
      line.push(waiter)
      return { line, waiter }
    })
    return Effect.acquireUseRelease(
      enter,
      ({ line, waiter }) =>
        effect({
          isFirst: () => line[0] === waiter,
          position: () => line.indexOf(waiter),
          change: Effect.suspend(() => {
            const { wake } = waiter
            const woken = Effect.map(Deferred.await(wake), () => {
              waiter.wake = Deferred.makeUnsafe()
            })
            return line[0] === waiter ? Effect.asVoid(Effect.timeoutOption(woken, lookAgainAfter)) : woken
          })
        }),
      ({ line, waiter }) => {
        line.splice(line.indexOf(waiter), 1)
        if (line.length === 0) this.#lines.delete(name)
        return this.wake
      }
    )
  }
}
