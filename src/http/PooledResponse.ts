import type * as Arr from "effect/Array"
import * as Effect from "effect/Effect"
import * as Cookies from "effect/http/Cookies"
import * as Headers from "effect/http/Headers"
import * as HttpClientError from "effect/http/HttpClientError"
import type * as HttpClientRequest from "effect/http/HttpClientRequest"
import * as HttpClientResponse from "effect/http/HttpClientResponse"
import * as HttpIncomingMessage from "effect/http/HttpIncomingMessage"
import * as UrlParams from "effect/http/UrlParams"
import * as Inspectable from "effect/Inspectable"
import * as Option from "effect/Option"
import { type Pipeable, pipeArguments } from "effect/Pipeable"
import type * as Pull from "effect/Pull"
import type * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import { fromScopedPull } from "./fromScopedPull.ts"
import { addFinalizer } from "./scopeFinalizers.ts"

type Failed = HttpClientError.HttpClientError

/** The source of a response's body. */
export interface BodySource {
  readonly request: HttpClientRequest.HttpClientRequest
  /** The next chunks, as soon as there are any. */
  readonly body: Pull.Pull<Arr.NonEmptyReadonlyArray<Uint8Array>, Failed>
  /** Tells the source that the body is being read. */
  readonly read: () => void
  /** Tells the source that nobody will read the rest. */
  readonly leave: () => void
}

const utf8 = new TextDecoder()

/** A response whose body can be read once. */
export class PooledResponse
  extends Inspectable.Class
  implements HttpClientResponse.HttpClientResponse, Pipeable
{
  readonly [HttpIncomingMessage.TypeId]: typeof HttpIncomingMessage.TypeId = HttpIncomingMessage.TypeId
  readonly [HttpClientResponse.TypeId]: typeof HttpClientResponse.TypeId = HttpClientResponse.TypeId
  readonly status: number
  readonly headers: Headers.Headers
  readonly remoteAddress = Option.none()
  readonly #source: BodySource
  readonly #setCookie: string | Array<string> | undefined

  constructor(
    source: BodySource,
    status: number,
    headers: Readonly<Record<string, string | Array<string> | undefined>>
  ) {
    super()
    this.#source = source
    this.status = status
    this.headers = Headers.fromInput(headers)
    this.#setCookie = headers["set-cookie"]
  }

  get request() {
    return this.#source.request
  }

  get url() {
    return this.request.url
  }

  get cookies() {
    return Cookies.fromSetCookie(this.#setCookie ?? [])
  }

  get stream(): Stream.Stream<Uint8Array, Failed> {
    const source = this.#source
    return fromScopedPull(
      Effect.suspend(() => {
        source.read()
        return Effect.as(
          addFinalizer(() => Effect.sync(() => source.leave())),
          source.body
        )
      })
    )
  }

  get #bytes() {
    return Effect.map(Stream.runCollect(this.stream), (chunks) => Buffer.concat(chunks))
  }

  get arrayBuffer() {
    return Effect.map(this.#bytes, (bytes) => Uint8Array.from(bytes).buffer)
  }

  get text() {
    return Effect.map(this.#bytes, (bytes) => utf8.decode(bytes))
  }

  get json(): Effect.Effect<Schema.Json, Failed> {
    return this.#read((text) => (text === "" ? null : JSON.parse(text)))
  }

  get urlParamsBody(): Effect.Effect<UrlParams.UrlParams, Failed> {
    return this.#read((text) => UrlParams.fromInput(new URLSearchParams(text)))
  }

  get formData(): Effect.Effect<FormData, Failed> {
    return Effect.flatMap(this.#bytes, (bytes) =>
      Effect.tryPromise({
        try: () => new Response(bytes, { headers: this.headers }).formData(),
        catch: (cause) => this.#unreadable(cause)
      })
    )
  }

  get upgrade(): Effect.Effect<never, Failed> {
    return Effect.fail(
      new HttpClientError.HttpClientError({
        reason: new HttpClientError.StatusCodeError({
          request: this.request,
          response: this,
          description: "this client makes no upgrades"
        })
      })
    )
  }

  toJSON() {
    return HttpIncomingMessage.inspect(this, { _id: "rbee/http/PooledResponse", status: this.status })
  }

  pipe() {
    return pipeArguments(this, arguments)
  }

  #read<A>(read: (text: string) => A): Effect.Effect<A, Failed> {
    return Effect.flatMap(this.text, (text) =>
      Effect.try({ try: () => read(text), catch: (cause) => this.#unreadable(cause) })
    )
  }

  #unreadable(cause: unknown): Failed {
    const reason = new HttpClientError.DecodeError({ request: this.request, response: this, cause })
    return new HttpClientError.HttpClientError({ reason })
  }
}
