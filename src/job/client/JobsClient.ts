import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as HttpClient from "effect/http/HttpClient"
import * as HttpClientRequest from "effect/http/HttpClientRequest"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import { makeSilenceWatch } from "../../http/SilenceWatch.ts"
import { Settings } from "../../settings/Settings.ts"
import { jobIdHeader } from "../JobRecord.ts"
import type { JobEvent } from "../log/JobEvent.ts"
import { type PeerError, PeerProtocolError } from "./clientErrors.ts"
import { followJob, type FollowOptions } from "./followJob.ts"
import { eventStream, type EventsOptions, JobStreams } from "./JobStreams.ts"
import type { Peer } from "./Peer.ts"
import { PeerHttp } from "./PeerHttp.ts"

/** The submitter of a job, where it matters to the daemon. */
export interface Submitter {
  /** The id of the submitting queen: its work is kept for `limits.grace_restart` when the queen vanishes. */
  readonly queen: string
}

/** A job that a daemon has accepted. */
export interface StartedJob {
  readonly jobId: string
  /** The job's events, as of `JobsClient.events`; to be read once, if at all. */
  readonly events: (options?: EventsOptions) => Stream.Stream<JobEvent, PeerError>
  /** Closes the events without reading them; the job continues. */
  readonly leave: Effect.Effect<void>
}

/** Submits operations to a daemon and follows its jobs. `DaemonClient` cancels jobs and has their records. */
export class JobsClient extends Context.Service<
  JobsClient,
  {
    /** Sends the body unchanged; returns the id of the job. */
    readonly submit: (peer: Peer, body: string) => Effect.Effect<string, PeerError>
    /** Submits the body and prepares reading its events, which most daemons send in the same response. */
    readonly start: (peer: Peer, body: string, as?: Submitter) => Effect.Effect<StartedJob, PeerError>
    /**
     * The job's events, its end event included. A stream without an end event is an error, and so is a full view that is
     * silent for `timeouts.silence`. Falls back to the plain view of an older daemon, whose events have no ids.
     */
    readonly events: (
      peer: Peer,
      jobId: string,
      options?: EventsOptions
    ) => Stream.Stream<JobEvent, PeerError>
    /** Connects to the job's events, within `timeouts.silence`. The stream is to be read at once. */
    readonly connect: (
      peer: Peer,
      jobId: string,
      options?: EventsOptions
    ) => Effect.Effect<Stream.Stream<JobEvent, PeerError>, PeerError>
    /**
     * Follows the job to its end event, which it returns. A connection that is reset, closed without an end event, or
     * silent for `timeouts.silence` is resumed after the last event, for up to `timeouts.reconnect`. No event is lost or
     * delivered twice. The plain view of an older daemon cannot be resumed.
     */
    readonly follow: <E>(
      peer: Peer,
      jobId: string,
      options: FollowOptions<E>
    ) => Effect.Effect<JobEvent, PeerError | E>
  }
>()("rbee/job/client/JobsClient") {
  static readonly layerNoDeps = Layer.effect(
    JobsClient,
    Effect.suspend(() => make)
  )
}

/** The header of a request by which a queen gives its id to a hive. */
export const queenHeader = "x-rbee-queen"

const JobId = Schema.String.check(Schema.isPattern(/^[A-Za-z0-9_-]{1,128}$/))
const isJobId = Schema.is(JobId)
const readSubmitted = Schema.decodeUnknownOption(Schema.fromJsonString(Schema.Struct({ job_id: JobId })))

const submission = (body: string) =>
  HttpClientRequest.post("/v1/jobs").pipe(HttpClientRequest.bodyText(body, "application/json"))

const submissionOf = (body: string, as: Submitter | undefined) => {
  const request = HttpClientRequest.accept(submission(body), eventStream)
  return as === undefined ? request : HttpClientRequest.setHeader(request, queenHeader, as.queen)
}

const readJobId = ({ url }: Peer, text: string) => {
  const submitted = readSubmitted(text)
  return Option.isSome(submitted)
    ? Effect.succeed(submitted.value.job_id)
    : Effect.fail(new PeerProtocolError({ url, detail: "did not return job_id" }))
}

const make = Effect.gen(function* () {
  const clock = yield* Clock.Clock
  const settings = yield* Settings
  const { timeouts } = settings
  const http = new PeerHttp(yield* HttpClient.HttpClient, settings)
  const streams = new JobStreams(http, settings, yield* makeSilenceWatch(timeouts.silence))
  const silence = Duration.toMillis(timeouts.silence)
  const reconnect = Duration.toMillis(timeouts.reconnect)

  const connect = (peer: Peer, jobId: string, options?: EventsOptions) =>
    streams.connect(peer, jobId, options)
  const events = (peer: Peer, jobId: string, options?: EventsOptions) =>
    Stream.unwrap(connect(peer, jobId, options))

  const startUnlimited = Effect.fnUntraced(function* (peer: Peer, body: string, as: Submitter | undefined) {
    const response = yield* http.send(peer, submissionOf(body, as))
    if (response.status !== 200) return yield* http.refused(peer, response)
    const { "content-type": type = "", [jobIdHeader]: jobId } = response.headers
    if (type.startsWith(eventStream) && isJobId(jobId)) {
      return {
        jobId,
        events: (options?: EventsOptions) => streams.fullView(peer, response, options),
        leave: Effect.suspend(() => Effect.ignore(Effect.scoped(Stream.toPull(response.stream))))
      }
    }
    const submitted = yield* Effect.flatMap(http.text(peer, response), (text) => readJobId(peer, text))
    return {
      jobId: submitted,
      events: (options?: EventsOptions) => events(peer, submitted, options),
      leave: Effect.void
    }
  })

  return JobsClient.of({
    submit: Effect.fn("JobsClient.submit")(function* (peer: Peer, body: string) {
      return yield* readJobId(peer, yield* http.ask(peer, submission(body)))
    }),
    start: (peer, body, as) => http.withinSubmit(peer, startUnlimited(peer, body, as)),
    events,
    connect,
    follow: (peer, jobId, options) => followJob({ peer, jobId, connect, clock, silence, reconnect }, options)
  })
})
