import { EventKind, isDroppable, type LoggedEvent } from "./JobEvent.ts"

// An event is its id, its kind, the length of its data, and its data.
const idBytes = 8
const lengthAt = idBytes + 1
const headBytes = lengthAt + 4

const kinds = EventKind.literals
const codeOf: ReadonlyMap<EventKind, number> = new Map(kinds.map((kind, code) => [kind, code]))

/**
 * Encoded events in one buffer. The buffer is outside of the heap, so the garbage collector neither scans nor copies the
 * events; most of them are never read again.
 */
export class EventBlock {
  #bytes: Buffer
  #used = 0
  /** The id of the last event; 0 when the block is empty. */
  lastId = 0
  /** Whether the block contains an event that may be dropped. */
  hasDroppable = false

  /** `capacity` is the size of the buffer in bytes. */
  constructor(capacity: number) {
    this.#bytes = Buffer.allocUnsafeSlow(capacity)
  }

  /** A block of events that were encoded before. */
  static from(bytes: Buffer) {
    const block = new EventBlock(0)
    block.#bytes = bytes
    block.#used = bytes.length
    for (let at = 0; at < bytes.length; at += headBytes + bytes.readUInt32LE(at + lengthAt)) {
      block.lastId = bytes.readDoubleLE(at)
      block.hasDroppable ||= isDroppable(kinds[bytes[at + idBytes] ?? 0] ?? "done")
    }
    return block
  }

  /** The size of an encoded event, in bytes, from the size of its data. */
  static sizeOf(dataBytes: number) {
    return headBytes + dataBytes
  }

  /** The size of the encoded events, in bytes. */
  get used() {
    return this.#used
  }

  /** The buffer with the encoded events; only its first `used` bytes count. */
  get buffer() {
    return this.#bytes
  }

  hasRoomFor(dataBytes: number) {
    return this.#used + EventBlock.sizeOf(dataBytes) <= this.#bytes.length
  }

  /** Adds an event; the caller has checked that there is room. */
  append({ id, json, kind }: LoggedEvent, dataBytes: number) {
    this.#bytes.writeDoubleLE(id, this.#used)
    this.#bytes[this.#used + idBytes] = codeOf.get(kind) ?? 0
    this.#bytes.writeUInt32LE(dataBytes, this.#used + lengthAt)
    this.#bytes.write(json, this.#used + headBytes)
    this.#used += headBytes + dataBytes
    this.lastId = id
    this.hasDroppable ||= isDroppable(kind)
  }

  /** A copy that contains only the events to keep. */
  filter(isKept: (event: LoggedEvent, dataBytes: number) => boolean) {
    const block = new EventBlock(this.#used)
    for (const event of this.events()) {
      const dataBytes = Buffer.byteLength(event.json)
      if (isKept(event, dataBytes)) block.append(event, dataBytes)
    }
    return block
  }

  /** Releases the unused rest of the buffer. */
  trim() {
    if (this.#used === this.#bytes.length) return
    const bytes = Buffer.allocUnsafeSlow(this.#used)
    this.#bytes.copy(bytes)
    this.#bytes = bytes
  }

  /** The events with an id above `after`. */
  *events(after = 0): Generator<LoggedEvent, void> {
    for (let at = 0; at < this.#used;) {
      const id = this.#bytes.readDoubleLE(at)
      const start = at + headBytes
      const end = start + this.#bytes.readUInt32LE(at + lengthAt)
      const kind = kinds[this.#bytes[at + idBytes] ?? 0]
      if (id > after && kind !== undefined) yield { id, kind, json: this.#bytes.toString("utf8", start, end) }
      at = end
    }
  }
}
