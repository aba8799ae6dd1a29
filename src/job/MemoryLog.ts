import * as Effect from "effect/Effect"
import { LogFull } from "./errors.ts"
import { isDroppable, JobEvent, type LoggedEvent } from "./JobEvent.ts"
import type { Batch, Cursor, JobLog } from "./JobLog.ts"

const bytesOfOneRead = 256 * 1024
const overheadOfEvent = 64
// Making room for a single event each time would cost a pass over the whole log for each.
const shareToFree = 1 / 8

const sizeOf = (json: string) => Buffer.byteLength(json) + overheadOfEvent

/** The index of the first item above `id` in a list that grows. */
const indexAbove = <A>(items: ReadonlyArray<A>, id: number, idOf: (item: A) => number) => {
  let low = 0
  let high = items.length
  while (low < high) {
    const middle = (low + high) >>> 1
    const item = items[middle]
    if (item !== undefined && idOf(item) <= id) low = middle + 1
    else high = middle
  }
  return low
}

const idOfEvent = (event: LoggedEvent) => event.id
const idItself = (id: number) => id

/** A job's log in memory. */
export class MemoryLog implements JobLog {
  readonly #limitBytes: number
  readonly #listeners = new Set<() => void>()
  readonly #dropped: Array<number> = []
  #events: Array<LoggedEvent> = []
  #bytes = 0
  #lastId = 0
  #ownEvents: number | undefined
  #ended = false

  constructor(limitBytes: number) {
    this.#limitBytes = limitBytes
  }

  readonly append = (events: ReadonlyArray<JobEvent>) =>
    Effect.suspend(() => {
      for (const event of events) {
        if (this.#ended) break
        const size = sizeOf(event.json)
        if (this.#bytes + size > this.#limitBytes && !this.#makeRoom(size)) {
          this.#wake()
          return Effect.fail(new LogFull({ limitBytes: this.#limitBytes }))
        }
        this.#push(event, size)
      }
      this.#wake()
      return Effect.void
    })

  readonly end = (event: JobEvent) =>
    Effect.sync(() => {
      if (this.#ended) return
      this.#push(event, sizeOf(event.json))
      this.#ended = true
      this.#wake()
    })

  readonly read = (cursor: Cursor) => Effect.sync(() => this.#read(cursor))

  readonly lastId = () => this.#lastId

  readonly onAppend = (listener: () => void) => {
    this.#listeners.add(listener)
    return () => {
      this.#listeners.delete(listener)
    }
  }

  readonly bytes = Effect.sync(() => this.#bytes)

  #push(event: JobEvent, size: number) {
    const id = this.#numberOf(event)
    if (id <= this.#lastId) return
    this.#lastId = id
    this.#bytes += size
    this.#events.push({ id, kind: event.kind, json: event.json })
  }

  // An event that a hive numbered keeps its number, plus the count of the queen's own events before the first.
  #numberOf(event: JobEvent) {
    if (event.id === undefined) return this.#lastId + 1
    this.#ownEvents ??= this.#lastId
    return this.#ownEvents + event.id
  }

  #makeRoom(needed: number) {
    const target = this.#limitBytes * (1 - shareToFree) - needed
    this.#events = this.#events.filter((event) => {
      if (this.#bytes <= target || !isDroppable(event.kind)) return true
      this.#bytes -= sizeOf(event.json)
      this.#dropped.push(event.id)
      return false
    })
    return this.#bytes + needed <= this.#limitBytes
  }

  #read({ after, toldOf }: Cursor): Batch {
    const events: Array<LoggedEvent> = []
    const untold = indexAbove(this.#dropped, Math.max(after, toldOf), idItself)
    let firstDropped = this.#dropped[untold]
    let bytes = 0
    let i = indexAbove(this.#events, after, idOfEvent)
    for (; i < this.#events.length && bytes < bytesOfOneRead; i++) {
      const event = this.#events[i]
      if (event === undefined) break
      if (firstDropped !== undefined && event.id > firstDropped) {
        events.push(noticeOfDropped(this.#dropped.length - untold, event.id - 1))
        toldOf = this.#dropped[this.#dropped.length - 1] ?? toldOf
        firstDropped = undefined
      }
      events.push(event)
      bytes += event.json.length + overheadOfEvent
      after = event.id
    }
    return { events, next: { after, toldOf }, ended: this.#ended && i === this.#events.length }
  }

  #wake() {
    // A listener may come back while the others are called.
    const waiting = Array.from(this.#listeners)
    for (const listener of waiting) listener()
  }
}

const noticeOfDropped = (count: number, id: number): LoggedEvent => {
  const sentence = `${count} earlier lines of narration were dropped to stay within limits.log_bytes`
  return { id, kind: "narration", json: JobEvent.narration("job-log", "drop", sentence).json }
}
