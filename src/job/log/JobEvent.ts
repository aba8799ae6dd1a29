import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import { redact } from "../../http/Redaction.ts"
import { isTooDeep } from "../../operation/nesting.ts"

/** The kinds of events in a job's log; the `event:` of the full view. */
export const EventKind = Schema.Literals([
  "narration",
  "progress",
  "token",
  "line",
  "chunk",
  "result",
  "done",
  "failed",
  "cancelled"
])
export type EventKind = typeof EventKind.Type

/** Tells a person what is happening. */
export const Narration = Schema.Struct({
  actor: Schema.String,
  action: Schema.String,
  message: Schema.String,
  job_id: Schema.optionalKey(Schema.String)
})

/** How much of the work is done. `rate` (units per second) and `eta_ms` (milliseconds) are absent while unknown. */
export const Progress = Schema.Struct({
  stage: Schema.String,
  current: Schema.Finite,
  total: Schema.optionalKey(Schema.Finite),
  unit: Schema.String,
  rate: Schema.optionalKey(Schema.Finite),
  eta_ms: Schema.optionalKey(Schema.Finite)
})

/** A piece of text: a token, or a line of an older hive. */
export const Text = Schema.Struct({ text: Schema.String })

/** A failure: the error's tag, the sentence for the user, and details for programs. */
export const Failure = Schema.Struct({
  code: Schema.String,
  message: Schema.String,
  details: Schema.optionalKey(Schema.Json)
})
export type Failure = typeof Failure.Type

/** How long a job waited and ran, in milliseconds. */
export const Timing = Schema.Struct({ queued_ms: Schema.Finite, run_ms: Schema.Finite })

/**
 * One event of a job. Its data is JSON text, which is passed on without parsing: clients get what the hive wrote. `id` is
 * set for events of a hive, which has numbered them.
 */
export class JobEvent {
  readonly kind: EventKind
  readonly json: string
  readonly id: number | undefined

  constructor(kind: EventKind, json: string, id?: number) {
    this.kind = kind
    this.json = json
    this.id = id
  }

  static narration(actor: string, action: string, message: string, jobId?: string) {
    return new JobEvent(
      "narration",
      JSON.stringify({ actor, action, message: redact(message), job_id: jobId })
    )
  }

  static progress(progress: typeof Progress.Type) {
    return new JobEvent("progress", JSON.stringify(progress))
  }

  static token(text: string) {
    return new JobEvent("token", `{"text":${JSON.stringify(text)}}`)
  }

  static line(text: string) {
    return new JobEvent("line", `{"text":${JSON.stringify(text)}}`)
  }

  static result(data: Schema.Json) {
    return new JobEvent("result", JSON.stringify(data))
  }

  static done(timing: typeof Timing.Type) {
    return new JobEvent("done", JSON.stringify(timing))
  }

  static failed(error: Failure) {
    return new JobEvent("failed", JSON.stringify({ error }))
  }

  /** `confirmed`: whether the worker confirmed that it stopped; true for a job without a worker. */
  static cancelled(confirmed: boolean) {
    return new JobEvent("cancelled", JSON.stringify({ confirmed }))
  }
}

/** An event in a job's log, with its id there. */
export interface LoggedEvent {
  readonly id: number
  readonly kind: EventKind
  readonly json: string
}

/** Whether an event of this kind ends the job. */
export const isEnd = (kind: EventKind) => kind === "done" || kind === "failed" || kind === "cancelled"

/** Whether a full log may drop events of this kind: they are not part of the answer. */
export const isDroppable = (kind: EventKind) => kind === "narration" || kind === "progress"

const notTooDeep =
  <A>(read: (json: string) => Option.Option<A>) =>
  (json: string) =>
    isTooDeep(json) ? Option.none<A>() : read(json)

/** Decoders of an event's data; each returns an `Option`, because the data may come from another machine. */
export const readNarration = Schema.decodeUnknownOption(Schema.fromJsonString(Narration))
export const readProgress = Schema.decodeUnknownOption(Schema.fromJsonString(Progress))
export const readText = Schema.decodeUnknownOption(Schema.fromJsonString(Text))
export const readFailure = notTooDeep(
  Schema.decodeUnknownOption(Schema.fromJsonString(Schema.Struct({ error: Failure })))
)
export const readJson = notTooDeep(Schema.decodeUnknownOption(Schema.fromJsonString(Schema.Json)))
export const readCancelled = Schema.decodeUnknownOption(
  Schema.fromJsonString(Schema.Struct({ confirmed: Schema.optionalKey(Schema.NullOr(Schema.Boolean)) }))
)
