import * as Arr from "effect/Array"
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Pull from "effect/Pull"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import { type PeerError, PeerMisspoke } from "./clientErrors.ts"
import { EventKind, isEnd, JobEvent } from "./JobEvent.ts"
import { endMarkers, isEndMarker } from "./PlainView.ts"
import { readSse, type SseEvent } from "./SseReader.ts"

// How long the rest of a body may take after the end event, so that its connection can be used again.
const restWithin = "250 millis"

const isKind = Schema.is(EventKind)

/** An event of the full view; nothing for a kind that this version does not know. */
const fromFullView = ({ data, event, id }: SseEvent) => {
  if (!isKind(event)) return undefined
  const number = Number(id)
  return new JobEvent(event, data, Number.isSafeInteger(number) && number > 0 ? number : undefined)
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

const readView =
  (toEvent: (event: SseEvent) => JobEvent | undefined) =>
  (
    url: string,
    bytes: Stream.Stream<Uint8Array, PeerError>,
    maxEventSize: number
  ): Stream.Stream<JobEvent, PeerError> => {
    const misspoke = (detail: string) => Effect.fail(new PeerMisspoke({ url, detail }))

    const sse = Stream.catchTag(readSse(bytes, maxEventSize), "SseError", () =>
      Stream.fromEffect(misspoke(`sent an event longer than ${maxEventSize} characters (limits.line_bytes)`))
    )

    return Stream.transformPull(sse, (pull) =>
      Effect.sync(() => {
        let ended = false

        const readRest = Effect.forever(pull).pipe(
          Effect.timeoutOrElse({ duration: restWithin, orElse: () => Cause.done() }),
          Effect.catch(() => Cause.done())
        )

        const withoutEnd = Pull.catchDone(pull, () => misspoke("ended the stream without an end event"))

        return Effect.suspend(function next(): Pull.Pull<Arr.NonEmptyReadonlyArray<JobEvent>, PeerError> {
          if (ended) return readRest
          return Effect.flatMap(withoutEnd, (raw) => {
            const events: Array<JobEvent> = []
            for (const event of raw) {
              const read = toEvent(event)
              if (read === undefined) continue
              events.push(read)
              ended = isEnd(read.kind)
              if (ended) break
            }
            return Arr.isArrayNonEmpty(events) ? Effect.succeed(events) : next()
          })
        })
      })
    )
  }

/** Reads the full view. Fails when the stream ends without an end event. */
export const readFullView = readView(fromFullView)

/** Reads the plain view of an older daemon. Fails when the stream ends without an end marker. */
export const readPlainView = readView(fromPlainView)
