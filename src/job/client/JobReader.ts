import type * as Stream from "effect/Stream"
import type { SseEvent } from "../../http/SseParser.ts"
import { readSse, type Silence } from "../../http/SseReader.ts"
import { EventKind, isEnd, JobEvent } from "../log/JobEvent.ts"
import { endMarkers, failedLine, isEndMarker, narrationLine } from "../view/PlainView.ts"
import { type PeerError, PeerHungUp, PeerProtocolError } from "./clientErrors.ts"

const kinds: ReadonlyMap<string, EventKind> = new Map(EventKind.literals.map((kind) => [kind, kind]))

/** An event of the full view; nothing for a kind that this version does not know. */
const fromFullView = ({ data, event, id }: SseEvent) => {
  const kind = kinds.get(event)
  if (kind === undefined) return undefined
  const number = Number(id)
  return new JobEvent(kind, data, Number.isSafeInteger(number) && number > 0 ? number : undefined)
}

const failedPrefix = narrationLine(failedLine.actor, failedLine.action, "")
const failedSentence = /^Job \S+ failed: (.+)$/s

const failed = (message: string) => JobEvent.failed({ code: "JobFailed", message })

/**
 * Reads the events of one plain view, which does not name kinds: whatever is no end is a line. Daemons of the original
 * rbee end a failed job with the line `[job-exec  ] failed` and `[DONE]`; that line becomes the failure.
 */
const plainEvents = () => {
  let failure: string | undefined
  return ({ data }: SseEvent): JobEvent | undefined => {
    if (data === endMarkers.done) {
      return failure === undefined ? new JobEvent("done", "{}") : failed(failure)
    }
    if (data === endMarkers.cancelled) return JobEvent.cancelled(false)
    if (data.startsWith(endMarkers.failed)) return failed(data.slice(endMarkers.failed.length))
    if (data.startsWith(failedPrefix)) {
      const message = data.slice(failedPrefix.length)
      failure = failedSentence.exec(message)?.[1] ?? message
      return undefined
    }
    return JobEvent.line(data.startsWith(" ") && isEndMarker(data.slice(1)) ? data.slice(1) : data)
  }
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
  /** Ends the stream when nothing comes, and how it fails then. */
  readonly silence?: Silence<PeerError> | undefined
  /** Gets the end event in place of the stream. */
  readonly onEnd?: ((end: JobEvent) => void) | undefined
}

const readView =
  (makeReader: () => (event: SseEvent) => JobEvent | undefined) =>
  <E>(
    bytes: Stream.Stream<Uint8Array, E>,
    { failed, maxEventSize, onBytes, onEnd, silence, url }: ViewOptions<E>
  ) => {
    let end: JobEvent | undefined
    const toEvent = makeReader()
    const misspoke = (detail: string): PeerError => new PeerProtocolError({ url, detail })
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
      silence,
      failed,
      isOver: () => end !== undefined,
      tooLarge: () => misspoke(`sent an event longer than ${maxEventSize} characters (limits.line_bytes)`),
      brokenOff: () => (end === undefined ? new PeerHungUp({ url }) : undefined)
    })
  }

/** Reads the full view. Fails when the stream ends without an end event. */
export const readFullView = readView(() => fromFullView)

/** Reads the plain view of an older daemon. Fails when the stream ends without an end marker. */
export const readPlainView = readView(plainEvents)
