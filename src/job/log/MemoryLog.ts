import * as Effect from "effect/Effect"
import { EventBlock } from "./EventBlock.ts"
import { isDroppable, isEnd, JobEvent, type LoggedEvent } from "./JobEvent.ts"
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

/** Where the encoded events of a log go before followers see them. */
export interface LogSink {
  /** Takes encoded events: the bytes from `start` to `end`. */
  readonly write: (bytes: Uint8Array, start: number, end: number) => void
  /** Calls the function when everything that was taken is written. */
  readonly afterWrite: (publish: () => void) => void
}

/**
 * A job's log in memory: encoded events, and the latest ones as objects. With a sink, followers see events only after the
 * sink has written them.
 */
export class MemoryLog implements JobLog {
  readonly #limitBytes: number
  readonly #sink: LogSink | undefined
  /** Replaced at each change: a listener may leave or enter while the listeners are called. */
  #listeners: ReadonlyArray<() => void> = []
  readonly #dropped: Array<number> = []
  #blocks: Array<EventBlock> = []
  /** The events that were published last, for followers that have read everything before. */
  #latest: ReadonlyArray<LoggedEvent> = []
  /** The id before the first of them. */
  #beforeLatest = 0
  /** The events that were appended since then. */
  #pending: Array<LoggedEvent> = []
  #pendingBytes = 0
  #beforePending = 0
  /** The block whose bytes from `#sunkTo` on the sink has not taken. */
  #sinking: EventBlock | undefined
  #sunkTo = 0
  #isPublishing = false
  #bytes = 0
  #lastId = 0
  /** The id of the last event that followers see. */
  #visibleId = 0
  #ownEvents: number | undefined
  #ended = false

  constructor(limitBytes: number, sink?: LogSink) {
    this.#limitBytes = limitBytes
    this.#sink = sink
  }

  /** The log of an ended job, from its encoded events. */
  static ended(bytes: Buffer) {
    const log = new MemoryLog(bytes.length)
    log.#blocks = [EventBlock.from(bytes)]
    log.#bytes = bytes.length
    log.#lastId = log.#blocks[0]?.lastId ?? 0
    log.#ended = true
    log.#forgetPending()
    log.#publish()
    return log
  }

  /**
   * Adds events that were written before, except those that the log has already. `ownEvents` is how many events the queen
   * wrote before those of the hive's job.
   */
  restore(events: Iterable<LoggedEvent>, ownEvents?: number) {
    this.#ownEvents = ownEvents
    for (const { id, json, kind } of events) {
      const dataBytes = Buffer.byteLength(json)
      if (id <= this.#lastId || this.#ended) continue
      if (this.#bytes + dataBytes + overheadOfEvent > this.#limitBytes) this.#makeRoom(dataBytes)
      this.#put({ id, kind, json }, dataBytes)
      this.#ended = isEnd(kind)
    }
    this.#sinking = undefined
    this.#publish()
  }

  /** The encoded events, in pieces. */
  encoded() {
    return this.#blocks.map(({ buffer, used }) => buffer.subarray(0, used))
  }

  append(events: ReadonlyArray<JobEvent>) {
    return Effect.suspend(() => {
      for (const event of events) {
        if (this.#ended) break
        const dataBytes = Buffer.byteLength(event.json)
        const size = dataBytes + overheadOfEvent
        if (this.#bytes + size > this.#limitBytes && !this.#makeRoom(size)) {
          this.#commit()
          return Effect.fail(new LogFull({ limitBytes: this.#limitBytes }))
        }
        this.#push(event, dataBytes)
      }
      this.#commit()
      return Effect.void
    })
  }

  end(event: JobEvent) {
    return Effect.sync(() => {
      if (this.#ended) return
      this.#push(event, Buffer.byteLength(event.json))
      this.#ended = true
      this.#commit()
      this.#blocks.at(-1)?.trim()
    })
  }

  read(cursor: Cursor) {
    return Effect.sync(() => this.#read(cursor))
  }

  get all() {
    return Effect.sync(() => Array.from(this.#eventsAfter(0)))
  }

  lastWrittenId() {
    return this.#lastId
  }

  lastId() {
    return this.#visibleId
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

  #push({ id: given, json, kind }: JobEvent, dataBytes: number) {
    const id = this.#numberOf(given)
    if (id > this.#lastId) this.#put({ id, kind, json }, dataBytes)
  }

  #put(event: LoggedEvent, dataBytes: number) {
    const block = this.#blockFor(dataBytes)
    if (this.#sink !== undefined && block !== this.#sinking) {
      this.#sinkBytes()
      this.#sinking = block
      this.#sunkTo = block.used
    }
    block.append(event, dataBytes)
    const size = dataBytes + overheadOfEvent
    if (this.#pendingBytes + size > bytesOfOneRead) this.#forgetPending()
    this.#pending.push(event)
    this.#pendingBytes += size
    this.#bytes += size
    this.#lastId = event.id
  }

  #forgetPending() {
    this.#pending = []
    this.#pendingBytes = 0
    this.#beforePending = this.#lastId
  }

  #sinkBytes() {
    const block = this.#sinking
    if (block === undefined) return
    if (block.used > this.#sunkTo) this.#sink?.write(block.buffer, this.#sunkTo, block.used)
    this.#sunkTo = block.used
  }

  #commit() {
    if (this.#sink === undefined) return this.#publish()
    this.#sinkBytes()
    if (this.#isPublishing) return
    this.#isPublishing = true
    this.#sink.afterWrite(this.#publish)
  }

  readonly #publish = () => {
    this.#isPublishing = false
    this.#latest = this.#pending
    this.#beforeLatest = this.#beforePending
    this.#forgetPending()
    this.#visibleId = this.#lastId
    for (const listener of this.#listeners) listener()
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
    this.#sinkBytes()
    this.#sinking = undefined
    this.#blocks = this.#blocks.flatMap((block) => {
      if (this.#bytes <= target || !block.hasDroppable) return [block]
      const kept = block.filter(isKept)
      return kept.lastId === 0 ? [] : [kept]
    })
    // The events as objects may be among those that were dropped.
    this.#latest = []
    this.#beforeLatest = this.#visibleId
    this.#forgetPending()
    return this.#bytes + needed <= this.#limitBytes
  }

  #read({ after, reportedDropped }: Cursor): Batch {
    // No event after this position has been dropped.
    if (after === this.#beforeLatest) {
      const next = { after: this.#visibleId, reportedDropped }
      return { events: this.#latest, next, ended: this.#hasShownEnd }
    }
    const events: Array<LoggedEvent> = []
    const untold = indexAbove(this.#dropped, Math.max(after, reportedDropped), idItself)
    let firstDropped = this.#dropped[untold]
    let bytes = 0
    for (const event of this.#eventsAfter(after)) {
      if (bytes >= bytesOfOneRead || event.id > this.#visibleId) break
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
      ended: this.#hasShownEnd && after >= this.#visibleId
    }
  }

  get #hasShownEnd() {
    return this.#ended && this.#visibleId === this.#lastId
  }

  *#eventsAfter(id: number) {
    for (let i = indexAbove(this.#blocks, id, lastIdOf); ; i++) {
      const block = this.#blocks[i]
      if (block === undefined) return
      yield* block.events(id)
    }
  }
}

const noticeOfDropped = (count: number, id: number): LoggedEvent => {
  const sentence = `${count} earlier lines of narration were dropped to stay within limits.log_bytes`
  return { id, kind: "narration", json: JobEvent.narration("job-log", "drop", sentence).json }
}
