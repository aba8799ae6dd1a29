import { EventKind, isDroppable, type LoggedEvent } from "./JobEvent.ts"

// Each event: its number, its kind, the length of its data; then its data.
const idBytes = 8
const lengthAt = idBytes + 1
const headBytes = lengthAt + 4

const kinds = EventKind.literals
const codeOf: ReadonlyMap<EventKind, number> = new Map(kinds.map((kind, code) => [kind, code]))

/**
 * Events one behind the other as bytes outside of the heap, where they take the least room and the garbage collector
 * neither copies them nor looks at them: most are never read again.
 */
export class EventBlock {
  #bytes: Buffer
  #used = 0
  /** The number of the last one; 0 when there is none. */
  lastId = 0
  /** Whether one of them may be dropped. */
  hasDroppable = false

  /** With room for events of so many bytes together. */
  constructor(capacity: number) {
    this.#bytes = Buffer.allocUnsafeSlow(capacity)
  }

  /** How many bytes an event takes whose data has `dataBytes`. */
  static sizeOf(dataBytes: number) {
    return headBytes + dataBytes
  }

  hasRoomFor(dataBytes: number) {
    return this.#used + EventBlock.sizeOf(dataBytes) <= this.#bytes.length
  }

  /** Adds an event, for which there is room. */
  append({ id, json, kind }: LoggedEvent, dataBytes: number) {
    this.#bytes.writeDoubleLE(id, this.#used)
    this.#bytes[this.#used + idBytes] = codeOf.get(kind) ?? 0
    this.#bytes.writeUInt32LE(dataBytes, this.#used + lengthAt)
    this.#bytes.write(json, this.#used + headBytes)
    this.#used += headBytes + dataBytes
    this.lastId = id
    this.hasDroppable ||= isDroppable(kind)
  }

  /** The same without the events that are not to be kept. */
  filter(isKept: (event: LoggedEvent, dataBytes: number) => boolean) {
    const block = new EventBlock(this.#used)
    for (const event of this.events()) {
      const dataBytes = Buffer.byteLength(event.json)
      if (isKept(event, dataBytes)) block.append(event, dataBytes)
    }
    return block
  }

  /** Gives back the room that is left. */
  trim() {
    if (this.#used === this.#bytes.length) return
    const bytes = Buffer.allocUnsafeSlow(this.#used)
    this.#bytes.copy(bytes)
    this.#bytes = bytes
  }

  /** The events above `after`. */
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
