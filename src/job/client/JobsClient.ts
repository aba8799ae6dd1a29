import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as HttpClient from "effect/http/HttpClient"
import type * as HttpClientError from "effect/http/HttpClientError"
import * as HttpClientRequest from "effect/http/HttpClientRequest"
import type * as HttpClientResponse from "effect/http/HttpClientResponse"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import type * as Redacted from "effect/Redacted"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import { readEngineError } from "../../http/engineErrors.ts"
import { PooledResponse } from "../../http/PooledResponse.ts"
import { makeSilenceWatch } from "../../http/SilenceWatch.ts"
import { isTooDeep } from "../../operation/nesting.ts"
import { Settings } from "../../settings/Settings.ts"
import { causeCode } from "../../settings/systemProblem.ts"
import { jobIdHeader } from "../JobRecord.ts"
import { JobEvent } from "../log/JobEvent.ts"
import {
  type PeerError,
  PeerProtocolError,
  PeerRefused,
  PeerTimeout,
  PeerUnreachable
} from "./clientErrors.ts"
import { readFullView, readPlainView } from "./JobReader.ts"

/** A daemon at the other end: its base URL, and the token that it wants. */
export interface Peer {
  readonly url: string
  readonly token?: Redacted.Redacted<string> | undefined
}

/** Who submits a job, where it matters to the daemon. */
export interface Submitter {
  /** The id of the queen that submits: its work is kept for `limits.grace_restart` when it vanishes. */
  readonly queen: string
}

/** How to follow a job. */
export interface EventsOptions {
  /** The id of the last event that is known; 0, the default, gives them all. */
  readonly after?: number
  /** Called whenever the daemon sent something, be it only a comment. */
  readonly onBytes?: () => void
  /** Gets the end event in place of the stream, which then just ends. */
  readonly onEnd?: (end: JobEvent) => void
  /** Called when the daemon has only the plain view, whose events have no ids, so that it cannot be resumed. */
  readonly onPlainView?: () => void
}

/** A job that a daemon has taken. */
export interface StartedJob {
  readonly jobId: string
  /** As `JobsClient.events` gives them; to be asked for once, if at all. */
  readonly events: (options?: EventsOptions) => Stream.Stream<JobEvent, PeerError>
  /** Lets go of the events without reading them; the job goes on. */
  readonly leave: Effect.Effect<void>
}

/** Submits operations to a daemon and follows its jobs. */
export class JobsClient extends Context.Service<
  JobsClient,
  {
    /** Sends the body as it is; gives the id of the job. */
    readonly submit: (peer: Peer, body: string) => Effect.Effect<string, PeerError>
    /** The same for who wants the job's events: a daemon that can gives them in the same answer. */
    readonly start: (peer: Peer, body: string, as?: Submitter) => Effect.Effect<StartedJob, PeerError>
    /**
     * The job's events, its end event included. A stream without an end event is an error, and so is a full view that is
     * silent for `timeouts.silence`. Falls back to the plain view when the daemon has no full one; its events then have
     * no ids.
     */
    readonly events: (
      peer: Peer,
      jobId: string,
      options?: EventsOptions
    ) => Stream.Stream<JobEvent, PeerError>
    /** The same; returns when the daemon has answered, for which it has `timeouts.silence`. To be read at once. */
    readonly connect: (
      peer: Peer,
      jobId: string,
      options?: EventsOptions
    ) => Effect.Effect<Stream.Stream<JobEvent, PeerError>, PeerError>
    /** Returns when the work has stopped. An ended job is a `PeerRefused` with status 409. */
    readonly cancel: (peer: Peer, jobId: string) => Effect.Effect<void, PeerError>
    /** Gets a JSON document, at most 16 MB of it. */
    readonly get: <A>(
      peer: Peer,
      path: string,
      schema: Schema.ConstraintDecoder<A>
    ) => Effect.Effect<A, PeerError>
    /** Asks `/health`, the sign of life of every daemon, old ones too; fails unless the answer is `ok`. */
    readonly health: (peer: Peer) => Effect.Effect<void, PeerError>
    /** Asks for something that has no body, such as `/v1/shutdown`. */
    readonly post: (peer: Peer, path: string) => Effect.Effect<void, PeerError>
  }
>()("rbee/job/client/JobsClient") {
  static readonly layerNoDeps = Layer.effect(
    JobsClient,
    Effect.suspend(() => make)
  )
}

const eventStream = "text/event-stream"
/** The header of a request by which a queen gives its id to a hive. */
export const queenHeader = "x-rbee-queen"

const JobId = Schema.String.check(Schema.isPattern(/^[A-Za-z0-9_-]{1,128}$/))
const isJobId = Schema.is(JobId)
const readSubmitted = Schema.decodeUnknownOption(Schema.fromJsonString(Schema.Struct({ job_id: JobId })))
const unreachable: { readonly [code: string]: PeerUnreachable["reason"] } = {
  ECONNREFUSED: "refused",
  EHOSTUNREACH: "refused",
  ENETUNREACH: "refused",
  EADDRNOTAVAIL: "refused",
  ENOTFOUND: "unresolved",
  EAI_AGAIN: "unresolved",
  ETIMEDOUT: "timeout",
  UND_ERR_CONNECT_TIMEOUT: "timeout",
  ECONNRESET: "reset",
  EPIPE: "reset",
  UND_ERR_SOCKET: "reset"
}

const fromHttp =
  (peer: Peer) =>
  (error: HttpClientError.HttpClientError): PeerError => {
    const { cause } = error.reason
    const code = causeCode(cause)
    const reason = code === undefined ? undefined : unreachable[code]
    const why = code ?? (cause instanceof Error ? cause.name : error.reason._tag)
    return reason === undefined
      ? new PeerProtocolError({ url: peer.url, detail: `sent an answer that is not HTTP (${why})` })
      : new PeerUnreachable({ url: peer.url, reason })
  }

const make = Effect.gen(function* () {
  const http = yield* HttpClient.HttpClient
  const { limits, timeouts } = yield* Settings
  const silenceWatch = yield* makeSilenceWatch(timeouts.silence)

  const send = (peer: Peer, request: HttpClientRequest.HttpClientRequest) =>
    http
      .execute(
        request.pipe(
          HttpClientRequest.prependUrl(peer.url),
          peer.token === undefined ? (_) => _ : HttpClientRequest.bearerToken(peer.token)
        )
      )
      .pipe(Effect.mapError(fromHttp(peer)))

  const bytesOf = (peer: Peer, response: HttpClientResponse.HttpClientResponse) =>
    Stream.mapError(response.stream, fromHttp(peer))

  const textOf = (peer: Peer, response: HttpClientResponse.HttpClientResponse) =>
    bytesOf(peer, response).pipe(
      Stream.runFoldEffect(
        () => Buffer.alloc(0),
        (text, chunk) =>
          text.length + chunk.length > limits.bodyBytes
            ? Effect.fail(
                new PeerProtocolError({
                  url: peer.url,
                  detail: `sent an answer of more than ${limits.bodyBytes} bytes`
                })
              )
            : Effect.succeed(Buffer.concat([text, chunk]))
      ),
      Effect.map((bytes) => bytes.toString())
    )

  const refused = Effect.fnUntraced(function* (peer: Peer, response: HttpClientResponse.HttpClientResponse) {
    const text = yield* textOf(peer, response)
    const { code, message } = readEngineError(text)
    return yield* new PeerRefused({
      url: peer.url,
      status: response.status,
      ...(code === null ? {} : { code }),
      detail: message ?? `answered with the status ${response.status}`
    })
  })

  const within = <A, E>(effect: Effect.Effect<A, E>, peer: Peer) =>
    Effect.timeoutOrElse(effect, {
      duration: timeouts.submit,
      orElse: () =>
        Effect.fail(
          new PeerTimeout({ url: peer.url, limit: "submit", millis: Duration.toMillis(timeouts.submit) })
        )
    })

  const ask = Effect.fnUntraced(function* (peer: Peer, request: HttpClientRequest.HttpClientRequest) {
    const response = yield* send(peer, request)
    if (response.status !== 200) return yield* refused(peer, response)
    return yield* textOf(peer, response)
  }, within)

  const submission = (body: string) =>
    HttpClientRequest.post("/v1/jobs").pipe(HttpClientRequest.bodyText(body, "application/json"))

  const readJobId = (peer: Peer, text: string) => {
    const submitted = readSubmitted(text)
    return Option.isSome(submitted)
      ? Effect.succeed(submitted.value.job_id)
      : Effect.fail(new PeerProtocolError({ url: peer.url, detail: "did not return job_id" }))
  }

  const submit = Effect.fn("JobsClient.submit")(function* (peer: Peer, body: string) {
    return yield* readJobId(peer, yield* ask(peer, submission(body)))
  })

  const start = Effect.fnUntraced(function* (peer: Peer, body: string, as?: Submitter) {
    const request = HttpClientRequest.accept(submission(body), eventStream)
    const response = yield* send(
      peer,
      as === undefined ? request : HttpClientRequest.setHeader(request, queenHeader, as.queen)
    )
    if (response.status !== 200) return yield* refused(peer, response)
    const { "content-type": type = "", [jobIdHeader]: jobId } = response.headers
    if (type.startsWith(eventStream) && isJobId(jobId)) {
      return {
        jobId,
        events: (options?: EventsOptions) => fullView(peer, response, options),
        leave: Effect.suspend(() => Effect.ignore(Effect.scoped(Stream.toPull(response.stream))))
      }
    }
    const submitted = yield* Effect.flatMap(textOf(peer, response), (text) => readJobId(peer, text))
    return {
      jobId: submitted,
      events: (options?: EventsOptions) => events(peer, submitted, options),
      leave: Effect.void
    }
  }, within)

  const open = Effect.fnUntraced(function* (peer: Peer, path: string) {
    // Headers come at once, so that a connection on which none come is broken.
    const response = yield* Effect.timeoutOrElse(send(peer, HttpClientRequest.get(path)), {
      duration: timeouts.silence,
      orElse: () => Effect.fail(silenceOf(peer).error())
    })
    const type = response.headers["content-type"] ?? ""
    if (response.status === 200 && !type.startsWith(eventStream)) {
      return yield* new PeerProtocolError({
        url: peer.url,
        detail: `sent ${type || "an untyped body"} instead of an event stream`
      })
    }
    return response
  })

  const viewOf = (peer: Peer, { onBytes, onEnd }: EventsOptions) => ({
    url: peer.url,
    maxEventSize: limits.lineBytes,
    failed: fromHttp(peer),
    onBytes,
    onEnd
  })

  const silenceOf = ({ url }: Peer) => ({
    watch: silenceWatch,
    error: () => new PeerTimeout({ url, limit: "silence", millis: Duration.toMillis(timeouts.silence) })
  })

  const fullView = (
    peer: Peer,
    response: HttpClientResponse.HttpClientResponse,
    options: EventsOptions = {}
  ) =>
    readFullView(response.stream, {
      ...viewOf(peer, options),
      silence: { ...silenceOf(peer), closingEndsReads: response instanceof PooledResponse }
    })

  const connect = Effect.fnUntraced(function* (peer: Peer, jobId: string, options: EventsOptions = {}) {
    const full = yield* open(peer, `/v1/jobs/${jobId}/events?after=${options.after ?? 0}`)
    if (full.status === 200) return fullView(peer, full, options)
    if (full.status !== 404) return yield* refused(peer, full)
    const plain = yield* open(peer, `/v1/jobs/${jobId}/stream`)
    if (plain.status !== 200) return yield* refused(peer, full)
    options.onPlainView?.()
    return readPlainView(plain.stream, viewOf(peer, options))
  })

  const events = (peer: Peer, jobId: string, options?: EventsOptions) =>
    Stream.unwrap(connect(peer, jobId, options))

  const get = Effect.fnUntraced(function* <A>(peer: Peer, path: string, schema: Schema.ConstraintDecoder<A>) {
    const text = yield* ask(peer, HttpClientRequest.get(path))
    if (isTooDeep(text)) {
      return yield* new PeerProtocolError({
        url: peer.url,
        detail: `sent JSON that is nested too deeply for ${path}`
      })
    }
    return yield* Schema.decodeUnknownEffect(Schema.fromJsonString(schema))(text).pipe(
      Effect.mapError(
        () =>
          new PeerProtocolError({
            url: peer.url,
            detail: `sent something else than was expected for ${path}`
          })
      )
    )
  })

  const health = Effect.fnUntraced(function* (peer: Peer) {
    const text = yield* ask(peer, HttpClientRequest.get("/health"))
    if (text.trim() !== "ok")
      return yield* new PeerProtocolError({ url: peer.url, detail: "did not answer 'ok' at /health" })
  })

  return JobsClient.of({
    submit,
    start,
    events,
    connect,
    cancel: (peer, jobId) => Effect.asVoid(ask(peer, HttpClientRequest.delete(`/v1/jobs/${jobId}`))),
    get,
    health,
    post: (peer, path) => Effect.asVoid(ask(peer, HttpClientRequest.post(path)))
  })
})
