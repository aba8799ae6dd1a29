import type * as Stream from "effect/Stream"
import { type PeerError, PeerMisspoke } from "./clientErrors.ts"
import { EventKind, isEnd, JobEvent } from "./JobEvent.ts"
import { endMarkers, isEndMarker } from "./PlainView.ts"
import type { SseEvent } from "./SseParser.ts"
import { readSse } from "./SseReader.ts"

const kinds: ReadonlyMap<string, EventKind> = new Map(EventKind.literals.map((kind) => [kind, kind]))

/** An event of the full view; nothing for a kind that this version does not know. */
const fromFullView = ({ data, event, id }: SseEvent) => {
  const kind = kinds.get(event)
  if (kind === undefined) return undefined
  const number = Number(id)
  return new JobEvent(kind, data, Number.isSafeInteger(number) && number > 0 ? number : undefined)
}

/** An event of the plain view, which says nothing of kinds: what is no end is a line. */
const fromPlainView = ({ data }: SseEvent) => {
  if (data === endMarkers.done) return new JobEvent("done", "{}")
  if (data === endMarkers.cancelled) return JobEvent.cancelled
  if (data.startsWith(endMarkers.failed)) {
    return JobEvent.failed({ code: "JobFailed", message: data.slice(endMarkers.failed.length) })
  }
  return JobEvent.line(data.startsWith(" ") && isEndMarker(data.slice(1)) ? data.slice(1) : data)
}

/** How to read a view. */
export interface ViewOptions<E> {
  /** The base URL of the daemon, for errors. */
  readonly url: string
  /** The largest event that is taken, in UTF-16 units. */
  readonly maxEventSize: number
  /** Called whenever bytes have come. */
  readonly onBytes?: (() => void) | undefined
  /** What it means that the bytes failed. */
  readonly failed: (error: E) => PeerError
  /** Gets the end event in place of the stream. */
  readonly onEnd?: ((end: JobEvent) => void) | undefined
}

const readView =
  (toEvent: (event: SseEvent) => JobEvent | undefined) =>
  <E>(bytes: Stream.Stream<Uint8Array, E>, { failed, maxEventSize, onBytes, onEnd, url }: ViewOptions<E>) => {
    let end: JobEvent | undefined
    const misspoke = (detail: string): PeerError => new PeerMisspoke({ url, detail })
    return readSse(bytes, {
      maxEventSize,
      map: (event) => {
        const read = end === undefined ? toEvent(event) : undefined
        if (read === undefined || !isEnd(read.kind)) return read
        end = read
        if (onEnd === undefined) return read
        onEnd(read)
        return undefined
      },
      onBytes,
      failed,
      isOver: () => end !== undefined,
      tooLarge: () => misspoke(`sent an event longer than ${maxEventSize} characters (limits.line_bytes)`),
      brokenOff: () => (end === undefined ? misspoke("ended the stream without an end event") : undefined)
    })
  }

/** Reads the full view. Fails when the stream ends without an end event. */
export const readFullView = readView(fromFullView)

/** Reads the plain view of an older daemon. Fails when the stream ends without an end marker. */
export const readPlainView = readView(fromPlainView)
