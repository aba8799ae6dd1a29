import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import {
  EventKind,
  Failure,
  Narration,
  Progress,
  readCancelled,
  readFailure,
  readJson,
  readNarration,
  readProgress,
  readText,
  Text,
  Timing
} from "./log/JobEvent.ts"

/** The number of an event in its job's log; absent for an event that is not from a log. */
const id = Schema.optional(Schema.Int)

/** Tells a person what is happening. */
export class NarrationEvent extends Schema.TaggedClass<NarrationEvent>("rbee/NarrationEvent")("Narration", {
  id,
  ...Narration.fields
}) {}

/** Reports how far long work has come: `current` of `total` units, `rate` in units per second, `eta_ms` in milliseconds. */
export class ProgressEvent extends Schema.TaggedClass<ProgressEvent>("rbee/ProgressEvent")("Progress", {
  id,
  ...Progress.fields
}) {}

/** A piece of an answer. */
export class TokenEvent extends Schema.TaggedClass<TokenEvent>("rbee/TokenEvent")("Token", {
  id,
  ...Text.fields
}) {}

/** A line of a log, or a line of an older hive. */
export class LineEvent extends Schema.TaggedClass<LineEvent>("rbee/LineEvent")("Line", {
  id,
  ...Text.fields
}) {}

/** An SSE data item of an engine, unparsed: mostly a JSON object of the OpenAI API. */
export class ChunkEvent extends Schema.TaggedClass<ChunkEvent>("rbee/ChunkEvent")("Chunk", {
  id,
  data: Schema.String
}) {}

/** The result of an operation, such as `{"workers":[…]}`. */
export class ResultEvent extends Schema.TaggedClass<ResultEvent>("rbee/ResultEvent")("Result", {
  id,
  data: Schema.Json
}) {}

/** The job has ended well. The times are in milliseconds; an older hive does not report them. */
export class DoneEvent extends Schema.TaggedClass<DoneEvent>("rbee/DoneEvent")("Done", {
  id,
  queued_ms: Schema.optionalKey(Timing.fields.queued_ms),
  run_ms: Schema.optionalKey(Timing.fields.run_ms)
}) {}

/** The job has failed; `error.code` is the tag of the error. */
export class FailedEvent extends Schema.TaggedClass<FailedEvent>("rbee/FailedEvent")("Failed", {
  id,
  error: Failure
}) {}

/** The job was cancelled; `confirmed` tells whether its worker confirmed that it has stopped. */
export class CancelledEvent extends Schema.TaggedClass<CancelledEvent>("rbee/CancelledEvent")("Cancelled", {
  id,
  confirmed: Schema.Boolean
}) {}

/** An event of a job with decoded data. `Event.match` and `Event.guards` branch on it. */
export const Event = Schema.Union([
  NarrationEvent,
  ProgressEvent,
  TokenEvent,
  LineEvent,
  ChunkEvent,
  ResultEvent,
  DoneEvent,
  FailedEvent,
  CancelledEvent
]).pipe(Schema.toTaggedUnion("_tag"))
export type Event = typeof Event.Type

/** An event as a daemon sends it: its data is JSON text. */
export interface EncodedEvent {
  readonly id?: number | undefined
  readonly kind: EventKind
  readonly json: string
}

const maxExcerpt = 80

/** The data of an event is not what its kind requires. */
export class InvalidEvent extends Schema.TaggedError<InvalidEvent>()("InvalidEvent", {
  id: Schema.optional(Schema.Int),
  kind: EventKind,
  /** The beginning of the data. */
  excerpt: Schema.String
}) {
  override get message() {
    return `Event of the kind '${this.kind}' has unexpected data: ${this.excerpt}`
  }
}

const readTiming = Schema.decodeUnknownOption(
  Schema.fromJsonString(
    Schema.Struct({ queued_ms: DoneEvent.fields.queued_ms, run_ms: DoneEvent.fields.run_ms })
  )
)

const read = ({ id, json, kind }: EncodedEvent): Option.Option<Event> => {
  switch (kind) {
    case "narration":
      return Option.map(readNarration(json), (narration) => new NarrationEvent({ id, ...narration }))
    case "progress":
      return Option.map(readProgress(json), (progress) => new ProgressEvent({ id, ...progress }))
    case "token":
      return Option.map(readText(json), ({ text }) => new TokenEvent({ id, text }))
    case "line":
      return Option.map(readText(json), ({ text }) => new LineEvent({ id, text }))
    case "chunk":
      return Option.some(new ChunkEvent({ id, data: json }))
    case "result":
      return Option.map(readJson(json), (data) => new ResultEvent({ id, data }))
    case "done":
      return Option.map(readTiming(json), (timing) => new DoneEvent({ id, ...timing }))
    case "failed":
      return Option.map(readFailure(json), ({ error }) => new FailedEvent({ id, error }))
    case "cancelled":
      return Option.map(
        readCancelled(json),
        ({ confirmed }) => new CancelledEvent({ id, confirmed: confirmed ?? false })
      )
  }
}

/** Decodes the data of an event. Fields that the kind does not have are ignored. */
export const decodeEvent = (event: EncodedEvent): Result.Result<Event, InvalidEvent> =>
  Result.fromOption(
    read(event),
    () => new InvalidEvent({ id: event.id, kind: event.kind, excerpt: event.json.slice(0, maxExcerpt) })
  )

/** Decodes the events of a job, such as those of `JobsClient.events`. Fails at the first event with unexpected data. */
export const decodeEvents = <E, R>(
  events: Stream.Stream<EncodedEvent, E, R>
): Stream.Stream<Event, E | InvalidEvent, R> =>
  Stream.mapEffect(events, (event) => Effect.fromResult(decodeEvent(event)))
