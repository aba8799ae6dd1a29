import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type * as HttpClient from "effect/http/HttpClient"
import type * as HttpClientError from "effect/http/HttpClientError"
import * as HttpClientRequest from "effect/http/HttpClientRequest"
import type * as HttpClientResponse from "effect/http/HttpClientResponse"
import * as Stream from "effect/Stream"
import { readEngineError } from "../../http/engineErrors.ts"
import type { Settings } from "../../settings/Settings.ts"
import { causeCode } from "../../settings/systemProblem.ts"
import {
  type PeerError,
  PeerProtocolError,
  PeerRefused,
  PeerTimeout,
  PeerUnreachable
} from "./clientErrors.ts"
import type { Peer } from "./Peer.ts"

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

/** The typed form of an error of the HTTP client. */
export const fromHttp =
  ({ url }: Peer) =>
  (error: HttpClientError.HttpClientError): PeerError => {
    const { cause } = error.reason
    const code = causeCode(cause)
    const reason = code === undefined ? undefined : unreachable[code]
    const why = code ?? (cause instanceof Error ? cause.name : error.reason._tag)
    return reason === undefined
      ? new PeerProtocolError({ url, detail: `sent an answer that is not HTTP (${why})` })
      : new PeerUnreachable({ url, reason })
  }

/** Requests to daemons, with their token, limits of time and size, and typed errors. */
export class PeerHttp {
  readonly #http: HttpClient.HttpClient
  readonly #settings: Settings["Service"]

  constructor(http: HttpClient.HttpClient, settings: Settings["Service"]) {
    this.#http = http
    this.#settings = settings
  }

  /** Sends a request without a time limit; returns when the headers of the response have arrived. */
  send(peer: Peer, request: HttpClientRequest.HttpClientRequest) {
    const authorized = peer.token === undefined ? request : HttpClientRequest.bearerToken(request, peer.token)
    return Effect.mapError(
      this.#http.execute(HttpClientRequest.prependUrl(authorized, peer.url)),
      fromHttp(peer)
    )
  }

  /** The body of a response, at most `limits.body_bytes` of it. */
  text(peer: Peer, response: HttpClientResponse.HttpClientResponse) {
    const { bodyBytes } = this.#settings.limits
    const tooLarge = () =>
      new PeerProtocolError({ url: peer.url, detail: `sent an answer of more than ${bodyBytes} bytes` })
    return Stream.mapError(response.stream, fromHttp(peer)).pipe(
      Stream.runFoldEffect(
        () => Buffer.alloc(0),
        (text, chunk) =>
          text.length + chunk.length > bodyBytes
            ? Effect.fail(tooLarge())
            : Effect.succeed(Buffer.concat([text, chunk]))
      ),
      Effect.map((bytes) => bytes.toString())
    )
  }

  /** Fails with the daemon's refusal, which a response of another status than 200 holds. */
  refused(peer: Peer, response: HttpClientResponse.HttpClientResponse): Effect.Effect<never, PeerError> {
    return Effect.flatMap(this.text(peer, response), (text) => {
      const { code, message } = readEngineError(text)
      return Effect.fail(
        new PeerRefused({
          url: peer.url,
          status: response.status,
          ...(code === null ? {} : { code }),
          detail: message ?? `answered with the status ${response.status}`
        })
      )
    })
  }

  /** The body of the answer to a request, within `timeouts.submit`. */
  ask(peer: Peer, request: HttpClientRequest.HttpClientRequest) {
    const answer = Effect.flatMap(this.send(peer, request), (response) =>
      response.status === 200 ? this.text(peer, response) : this.refused(peer, response)
    )
    return this.withinSubmit(peer, answer)
  }

  /** Limits an exchange with a daemon to `timeouts.submit`. */
  withinSubmit<A>(peer: Peer, exchange: Effect.Effect<A, PeerError>) {
    const { submit } = this.#settings.timeouts
    return Effect.timeoutOrElse(exchange, {
      duration: submit,
      orElse: () =>
        Effect.fail(new PeerTimeout({ url: peer.url, limit: "submit", millis: Duration.toMillis(submit) }))
    })
  }
}
