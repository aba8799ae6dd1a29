import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as HttpClientRequest from "effect/http/HttpClientRequest"
import type * as HttpClientResponse from "effect/http/HttpClientResponse"
import type * as Stream from "effect/Stream"
import { PooledResponse } from "../../http/PooledResponse.ts"
import type { SilenceWatch } from "../../http/SilenceWatch.ts"
import type { Settings } from "../../settings/Settings.ts"
import type { JobEvent } from "../log/JobEvent.ts"
import { type PeerError, PeerProtocolError, PeerTimeout } from "./clientErrors.ts"
import { readFullView, readPlainView } from "./JobReader.ts"
import type { Peer } from "./Peer.ts"
import { fromHttp, type PeerHttp } from "./PeerHttp.ts"

/** How to read the events of a job. */
export interface EventsOptions {
  /** The id of the last known event; 0, the default, requests all events. */
  readonly after?: number
  /** Called whenever the daemon sent something, even a comment. */
  readonly onBytes?: () => void
  /** Receives the end event in place of the stream, which then ends. */
  readonly onEnd?: (end: JobEvent) => void
  /** Called when the daemon has only the plain view, whose events have no ids, so that it cannot be resumed. */
  readonly onPlainView?: () => void
}

/** The media type of an event stream. */
export const eventStream = "text/event-stream"

/** Reads the event streams of jobs: the full view, or the plain view of an older daemon. */
export class JobStreams {
  readonly #http: PeerHttp
  readonly #settings: Settings["Service"]
  readonly #watch: SilenceWatch

  constructor(http: PeerHttp, settings: Settings["Service"], watch: SilenceWatch) {
    this.#http = http
    this.#settings = settings
    this.#watch = watch
  }

  /** Connects to the events of a job, within `timeouts.silence`. The stream is to be read at once. */
  readonly connect = Effect.fnUntraced(function* (
    this: JobStreams,
    peer: Peer,
    jobId: string,
    options: EventsOptions = {}
  ): Effect.fn.Return<Stream.Stream<JobEvent, PeerError>, PeerError> {
    const full = yield* this.#open(peer, `/v1/jobs/${jobId}/events?after=${options.after ?? 0}`)
    if (full.status === 200) return this.fullView(peer, full, options)
    if (full.status !== 404) return yield* this.#http.refused(peer, full)
    const plain = yield* this.#open(peer, `/v1/jobs/${jobId}/stream`)
    if (plain.status !== 200) return yield* this.#http.refused(peer, full)
    options.onPlainView?.()
    return readPlainView(plain.stream, this.#viewOptions(peer, options))
  })

  /** Reads the full view that a response holds. */
  fullView(peer: Peer, response: HttpClientResponse.HttpClientResponse, options: EventsOptions = {}) {
    return readFullView(response.stream, {
      ...this.#viewOptions(peer, options),
      silence: {
        watch: this.#watch,
        error: () => this.#silent(peer),
        closingEndsReads: response instanceof PooledResponse
      }
    })
  }

  readonly #open = Effect.fnUntraced(function* (
    this: JobStreams,
    peer: Peer,
    path: string
  ): Effect.fn.Return<HttpClientResponse.HttpClientResponse, PeerError> {
    // A live daemon sends the headers at once, so a connection without them is broken.
    const response = yield* Effect.timeoutOrElse(this.#http.send(peer, HttpClientRequest.get(path)), {
      duration: this.#settings.timeouts.silence,
      orElse: () => Effect.fail(this.#silent(peer))
    })
    const type = response.headers["content-type"] ?? ""
    if (response.status !== 200 || type.startsWith(eventStream)) return response
    return yield* new PeerProtocolError({
      url: peer.url,
      detail: `sent ${type || "an untyped body"} instead of an event stream`
    })
  })

  #viewOptions(peer: Peer, { onBytes, onEnd }: EventsOptions) {
    return {
      url: peer.url,
      maxEventSize: this.#settings.limits.lineBytes,
      failed: fromHttp(peer),
      onBytes,
      onEnd
    }
  }

  #silent({ url }: Peer) {
    const millis = Duration.toMillis(this.#settings.timeouts.silence)
    return new PeerTimeout({ url, limit: "silence", millis })
  }
}
