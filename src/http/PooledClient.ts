import type * as Undici from "@effect/platform-node/Undici"
import * as Arr from "effect/Array"
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as HttpClient from "effect/http/HttpClient"
import * as HttpClientError from "effect/http/HttpClientError"
import * as HttpClientRequest from "effect/http/HttpClientRequest"
import * as Option from "effect/Option"
import type * as Pull from "effect/Pull"
import { type BodySource, PooledResponse } from "./PooledResponse.ts"
import { leftAnswer } from "./resettingConnector.ts"
import { TransientMap } from "./TransientMap.ts"

type Failed = HttpClientError.HttpClientError
type Chunks = Arr.NonEmptyReadonlyArray<Uint8Array>

// The bytes of an unread body that are buffered before the sender has to wait.
const usualHighWater = 64 * 1024
// A connection whose response nobody begins to read is closed at the second check.
const pollInterval = "5 seconds"

const give = (exchange: Exchange) => exchange.give()

/** One request and its response; undici calls these methods. */
class Exchange implements Undici.Dispatcher.DispatchHandler, BodySource {
  readonly request: HttpClientRequest.HttpClientRequest
  readonly #answer: (answer: Effect.Effect<PooledResponse, Failed>) => void
  #controller: Undici.Dispatcher.DispatchController | undefined
  #response: PooledResponse | undefined
  /** The exchanges whose responses nobody has begun to read. One timer serves all: a timer of each would retain its exchange. */
  readonly #unread: TransientMap<object, Exchange>
  readonly #key = {}
  readonly #highWater: number
  #chunks: Array<Uint8Array> = []
  #size = 0
  #end: Pull.Pull<never, Failed> | undefined
  #isLeft = false
  #isWaking = false
  #waiting: ((chunks: Pull.Pull<Chunks, Failed>) => void) | undefined

  constructor(
    request: HttpClientRequest.HttpClientRequest,
    unread: TransientMap<object, Exchange>,
    highWater: number,
    answer: (answer: Effect.Effect<PooledResponse, Failed>) => void
  ) {
    this.request = request
    this.#unread = unread
    this.#highWater = highWater
    this.#answer = answer
  }

  onRequestStart(controller: Undici.Dispatcher.DispatchController) {
    this.#controller = controller
    if (this.#isLeft) controller.abort(leftAnswer)
  }

  onResponseStart(
    _: unknown,
    status: number,
    headers: Readonly<Record<string, string | Array<string> | undefined>>
  ) {
    if (status < 200) return
    this.#unread.set(this.#key, this)
    this.#response = new PooledResponse(this, status, headers)
    this.#answer(Effect.succeed(this.#response))
  }

  onResponseData(controller: Undici.Dispatcher.DispatchController, chunk: Buffer) {
    // After a pause undici passes an empty slice of a buffer that all its connections share.
    if (chunk.length === 0) return
    this.#chunks.push(chunk)
    this.#size += chunk.length
    if (this.#size >= this.#highWater) controller.pause()
    this.#wake()
  }

  onResponseEnd() {
    this.#unread.delete(this.#key)
    this.#end = Cause.done()
    this.#wake()
  }

  onResponseError(_: unknown, cause: Error) {
    this.#unread.delete(this.#key)
    if (this.#response !== undefined) return this.#fail(this.#response, cause)
    const reason = new HttpClientError.TransportError({ request: this.request, cause })
    this.#answer(Effect.fail(new HttpClientError.HttpClientError({ reason })))
  }

  readonly body: Pull.Pull<Chunks, Failed> = Effect.suspend(() => this.#take())

  read() {
    this.#unread.delete(this.#key)
  }

  leave() {
    this.#unread.delete(this.#key)
    if (this.#isLeft || this.#end !== undefined) return
    this.#isLeft = true
    this.#controller?.abort(leftAnswer)
    // A read on which another fiber waits ends too, whether or not undici reports the abort.
    if (this.#response !== undefined && this.#end === undefined) this.#fail(this.#response, leftAnswer)
  }

  #take(): Pull.Pull<Chunks, Failed> {
    const chunks = this.#chunks
    if (Arr.isArrayNonEmpty(chunks)) {
      this.#chunks = []
      const wasFull = this.#size >= this.#highWater
      this.#size = 0
      if (wasFull) this.#controller?.resume()
      return Effect.succeed(chunks)
    }
    if (this.#end !== undefined) return this.#end
    return Effect.callback((resume) => {
      this.#waiting = resume
      return Effect.sync(() => {
        this.#waiting = undefined
      })
    })
  }

  #fail(response: PooledResponse, cause: Error) {
    const reason = new HttpClientError.DecodeError({ request: this.request, response, cause })
    this.#end = Effect.fail(new HttpClientError.HttpClientError({ reason }))
    this.#wake()
  }

  #wake() {
    if (this.#waiting === undefined || this.#isWaking) return
    this.#isWaking = true
    // All chunks of one read of the socket are delivered together.
    process.nextTick(give, this)
  }

  /** Delivers the buffered chunks to the waiting reader. */
  give() {
    this.#isWaking = false
    const waiting = this.#waiting
    if (waiting === undefined) return
    this.#waiting = undefined
    waiting(this.#take())
  }
}

const bodyOf = ({ body }: HttpClientRequest.HttpClientRequest) => {
  if (body._tag === "Empty") return null
  return body._tag === "Uint8Array" ? body.body : undefined
}

/**
 * A client over undici's connections. A request costs a fraction of what it costs with Effect's own client, and leaves no
 * long-lived garbage: it uses no Node stream, no abort signal and no weak references between a socket and its reader. It
 * sends bodies that are text or bytes. Of a body that is read too slowly, about `highWater` bytes are buffered.
 */
export const makePooledClient = Effect.fnUntraced(function* (
  dispatcher: Undici.Dispatcher,
  highWater = usualHighWater
) {
  const unread = new TransientMap<object, Exchange>()
  let seen: ReadonlyArray<object> = []
  const look = Effect.sync(() => {
    for (const key of seen) unread.get(key)?.leave()
    seen = Array.from(unread.keys())
  })
  yield* look.pipe(Effect.delay(pollInterval), Effect.forever, Effect.forkScoped)

  const execute = (request: HttpClientRequest.HttpClientRequest) =>
    Effect.callback<PooledResponse, Failed>((resume) => {
      const refuse = (reason: HttpClientError.RequestError) =>
        resume(Effect.fail(new HttpClientError.HttpClientError({ reason })))
      const url = HttpClientRequest.toUrl(request)
      if (Option.isNone(url)) return refuse(new HttpClientError.InvalidUrlError({ request }))
      const body = bodyOf(request)
      if (body === undefined) {
        return refuse(new HttpClientError.TransportError({ request, description: "the body is no text" }))
      }
      const { origin, pathname, search } = url.value
      const exchange = new Exchange(request, unread, highWater, resume)
      const { headers, method } = request
      // The callers set the time limits.
      const options = {
        origin,
        path: pathname + search,
        method,
        headers,
        body,
        headersTimeout: 0,
        bodyTimeout: 0
      }
      try {
        dispatcher.dispatch(options, exchange)
      } catch (cause) {
        refuse(new HttpClientError.TransportError({ request, cause }))
      }
      return Effect.sync(() => exchange.leave())
    })
  return HttpClient.makeWith<Failed, never, Failed, never>(
    (request) => Effect.flatMap(request, execute),
    Effect.succeed
  )
})
