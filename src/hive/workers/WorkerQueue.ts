import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"

/** A request's position in a queue. */
export interface QueueTicket {
  readonly isFirst: () => boolean
  /** How many requests are before it. */
  readonly position: () => number
  /** Returns when a worker may have become free; for the first request after 250 ms in any case. */
  readonly change: Effect.Effect<void>
}

const checkInterval = "250 millis"

/** Queues of requests by name, each in the order of arrival. */
export class WorkerQueue {
  readonly #queues = new Map<string, Array<{ wake: Deferred.Deferred<void> }>>()

  /** How many requests wait in a queue. */
  lengthOf(name: string) {
    return this.#queues.get(name)?.length ?? 0
  }

  /** Wakes the first request of each queue. */
  readonly wake = Effect.sync(() => {
    for (const [first] of this.#queues.values())
      if (first !== undefined) Deferred.doneUnsafe(first.wake, Effect.void)
  })

  /** Holds a position in a queue while the effect runs. */
  wait<A, E, R>(
    name: string,
    effect: (ticket: QueueTicket) => Effect.Effect<A, E, R>
  ): Effect.Effect<A, E, R> {
    const enter = Effect.sync(() => {
      const queue = this.#queues.get(name) ?? []
      const waiter = { wake: Deferred.makeUnsafe<void>() }
      this.#queues.set(name, queue)
      queue.push(waiter)
      return { queue, waiter }
    })
    return Effect.acquireUseRelease(
      enter,
      ({ queue, waiter }) =>
        effect({
          isFirst: () => queue[0] === waiter,
          position: () => queue.indexOf(waiter),
          change: Effect.suspend(() => {
            const { wake } = waiter
            const woken = Effect.map(Deferred.await(wake), () => {
              waiter.wake = Deferred.makeUnsafe()
            })
            return queue[0] === waiter ? Effect.asVoid(Effect.timeoutOption(woken, checkInterval)) : woken
          })
        }),
      ({ queue, waiter }) => {
        queue.splice(queue.indexOf(waiter), 1)
        if (queue.length === 0) this.#queues.delete(name)
        return this.wake
      }
    )
  }
}
