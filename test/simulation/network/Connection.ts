import { Cause, Deferred, Effect, type Pull } from "effect"
import * as Arr from "effect/Array"
import { HttpClientError, type HttpClientRequest } from "effect/http"
import { type BodySource, PooledResponse } from "../../../src/http/PooledResponse.ts"

type Failed = HttpClientError.HttpClientError
type Chunks = Pull.Pull<Arr.NonEmptyReadonlyArray<Uint8Array>, Failed>

/** One request on its way, and its answer, as the pooled client would give it. */
export class Connection implements BodySource {
  readonly request: HttpClientRequest.HttpClientRequest
  /** Completed when the client has left, or the server's process has died. */
  readonly closed = Deferred.makeUnsafe<void>()
  readonly #answered = Deferred.makeUnsafe<PooledResponse, Failed>()
  readonly #onEnd: () => void
  #chunks: Array<Uint8Array> = []
  #end: Pull.Pull<never, Failed> | undefined
  #waiting: ((chunks: Chunks) => void) | undefined
  #response: PooledResponse | undefined
  isOver = false
  /** Whether the client has begun to read the body. */
  isRead = false

  /** `onEnd` is called once, when the client holds nothing of it any more. */
  constructor(request: HttpClientRequest.HttpClientRequest, onEnd: () => void) {
    this.request = request
    this.#onEnd = onEnd
  }

  get hasAnswer() {
    return this.#response !== undefined
  }

  /** The answer, as soon as its headers are here. A client that is interrupted before has left. */
  get answer() {
    return Effect.onInterrupt(Deferred.await(this.#answered), () => Effect.sync(() => this.leave()))
  }

  /** The headers arrive. */
  respond(status: number, headers: Readonly<Record<string, string>>) {
    if (this.isOver || this.#response !== undefined) return
    this.#response = new PooledResponse(this, status, headers)
    Deferred.doneUnsafe(this.#answered, Effect.succeed(this.#response))
  }

  /** A piece of the body arrives. */
  deliver(chunk: Uint8Array) {
    if (this.isOver || chunk.length === 0) return
    this.#chunks.push(chunk)
    this.#wake()
  }

  /** The body has arrived. */
  finish() {
    if (this.isOver) return
    this.#end = Cause.done()
    this.#over()
  }

  /** The connection fails, with the code of a system error. */
  break(code: string) {
    if (this.isOver) return
    const request = this.request
    const response = this.#response
    const cause = Object.assign(new Error(code), { code })
    const reason =
      response === undefined
        ? new HttpClientError.TransportError({ request, cause })
        : new HttpClientError.DecodeError({ request, response, cause })
    const failure = Effect.fail(new HttpClientError.HttpClientError({ reason }))
    this.#end = failure
    if (response === undefined) Deferred.doneUnsafe(this.#answered, failure)
    this.#over()
  }

  /** The server's process has died. */
  die() {
    this.break("ECONNRESET")
    Deferred.doneUnsafe(this.closed, Effect.void)
  }

  readonly body: Chunks = Effect.suspend(() => this.#take())

  read() {
    this.isRead = true
  }

  leave() {
    Deferred.doneUnsafe(this.closed, Effect.void)
    this.break("ECONNRESET")
  }

  #over() {
    this.isOver = true
    this.#onEnd()
    this.#wake()
  }

  #take(): Chunks {
    const chunks = this.#chunks
    if (Arr.isArrayNonEmpty(chunks)) {
      this.#chunks = []
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

  #wake() {
    const waiting = this.#waiting
    this.#waiting = undefined
    waiting?.(this.#take())
  }
}
