import * as Effect from "effect/Effect"
import { EventBlock } from "./EventBlock.ts"
import { isDroppable, JobEvent, type LoggedEvent } from "./JobEvent.ts"
import { LogFull, type Batch, type Cursor, type JobLog } from "./JobLog.ts"

const bytesOfOneRead = 256 * 1024
const overheadOfEvent = 64
const minBlock = 1024
const maxBlock = 64 * 1024
// Freeing room for one event at a time would cost a pass over the whole log for each event.
const shareToFree = 1 / 8

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

const lastIdOf = (block: EventBlock) => block.lastId
const idItself = (id: number) => id

/** A job's log in memory: encoded events, and the latest ones as objects. */
export class MemoryLog implements JobLog {
  readonly #limitBytes: number
  /** Replaced at each change: a listener may leave or enter while the listeners are called. */
  #listeners: ReadonlyArray<() => void> = []
  readonly #dropped: Array<number> = []
  #blocks: Array<EventBlock> = []
  /** The events of the last append, for followers that have read everything before. */
  #latest: Array<LoggedEvent> = []
  #latestBytes = 0
  /** The id before the first of them. */
  #beforeLatest = 0
  #bytes = 0
  #lastId = 0
  #ownEvents: number | undefined
  #ended = false

  constructor(limitBytes: number) {
    this.#limitBytes = limitBytes
  }

  append(events: ReadonlyArray<JobEvent>) {
    return Effect.suspend(() => {
      this.#startLatest()
      for (const event of events) {
        if (this.#ended) break
        const dataBytes = Buffer.byteLength(event.json)
        const size = dataBytes + overheadOfEvent
        if (this.#bytes + size > this.#limitBytes && !this.#makeRoom(size)) {
          this.#wake()
          return Effect.fail(new LogFull({ limitBytes: this.#limitBytes }))
        }
        this.#push(event, dataBytes)
      }
      this.#wake()
      return Effect.void
    })
  }

  end(event: JobEvent) {
    return Effect.sync(() => {
      if (this.#ended) return
      this.#startLatest()
      this.#push(event, Buffer.byteLength(event.json))
      this.#blocks.at(-1)?.trim()
      this.#ended = true
      this.#wake()
    })
  }

  read(cursor: Cursor) {
    return Effect.sync(() => this.#read(cursor))
  }

  lastId() {
    return this.#lastId
  }

  onAppend(listener: () => void) {
    this.#listeners = [...this.#listeners, listener]
    return () => {
      this.#listeners = this.#listeners.filter((other) => other !== listener)
    }
  }

  get bytes() {
    return Effect.sync(() => this.#bytes)
  }

  #startLatest() {
    this.#latest = []
    this.#latestBytes = 0
    this.#beforeLatest = this.#lastId
  }

  #push({ id: given, json, kind }: JobEvent, dataBytes: number) {
    const id = this.#numberOf(given)
    if (id <= this.#lastId) return
    const event = { id, kind, json }
    this.#blockFor(dataBytes).append(event, dataBytes)
    const size = dataBytes + overheadOfEvent
    if (this.#latestBytes + size > bytesOfOneRead) this.#startLatest()
    this.#latest.push(event)
    this.#latestBytes += size
    this.#bytes += size
    this.#lastId = id
  }

  #blockFor(dataBytes: number) {
    const last = this.#blocks.at(-1)
    if (last?.hasRoomFor(dataBytes) === true) return last
    const usual = Math.min(maxBlock, minBlock * 2 ** this.#blocks.length)
    const block = new EventBlock(Math.max(usual, EventBlock.sizeOf(dataBytes)))
    this.#blocks.push(block)
    return block
  }

  // The id of a hive's event is the hive's id plus the number of events that the queen wrote before the first of them.
  #numberOf(given: number | undefined) {
    if (given === undefined) return this.#lastId + 1
    this.#ownEvents ??= this.#lastId
    return this.#ownEvents + given
  }

  #makeRoom(needed: number) {
    const target = this.#limitBytes * (1 - shareToFree) - needed
    const isKept = ({ id, kind }: LoggedEvent, dataBytes: number) => {
      if (this.#bytes <= target || !isDroppable(kind)) return true
      this.#bytes -= dataBytes + overheadOfEvent
      this.#dropped.push(id)
      return false
    }
    this.#blocks = this.#blocks.flatMap((block) => {
      if (this.#bytes <= target || !block.hasDroppable) return [block]
      const kept = block.filter(isKept)
      return kept.lastId === 0 ? [] : [kept]
    })
    this.#startLatest()
    return this.#bytes + needed <= this.#limitBytes
  }

  #read({ after, reportedDropped }: Cursor): Batch {
    // No event after this position has been dropped.
    if (after === this.#beforeLatest) {
      const next = { after: this.#lastId, reportedDropped }
      return { events: this.#latest, next, ended: this.#ended }
    }
    const events: Array<LoggedEvent> = []
    const untold = indexAbove(this.#dropped, Math.max(after, reportedDropped), idItself)
    let firstDropped = this.#dropped[untold]
    let bytes = 0
    for (const event of this.#eventsAfter(after)) {
      if (bytes >= bytesOfOneRead) break
      if (firstDropped !== undefined && event.id > firstDropped) {
        events.push(noticeOfDropped(this.#dropped.length - untold, event.id - 1))
        reportedDropped = this.#dropped[this.#dropped.length - 1] ?? reportedDropped
        firstDropped = undefined
      }
      events.push(event)
      bytes += event.json.length + overheadOfEvent
      after = event.id
    }
    return {
      events,
      next: { after, reportedDropped },
      ended: this.#ended && after >= this.#lastId
    }
  }

  *#eventsAfter(id: number) {
    for (let i = indexAbove(this.#blocks, id, lastIdOf); ; i++) {
      const block = this.#blocks[i]
      if (block === undefined) return
      yield* block.events(id)
    }
  }

  #wake() {
    for (const listener of this.#listeners) listener()
  }
}

const noticeOfDropped = (count: number, id: number): LoggedEvent => {
  const sentence = `${count} earlier lines of narration were dropped to stay within limits.log_bytes`
  return { id, kind: "narration", json: JobEvent.narration("job-log", "drop", sentence).json }
}
