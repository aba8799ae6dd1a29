import * as Effect from "effect/Effect"
import type * as HttpClientError from "effect/http/HttpClientError"
import type * as HttpClientResponse from "effect/http/HttpClientResponse"
import * as Stream from "effect/Stream"
import { ConnectionLost, type WorkerRefused } from "./errors.ts"
import { answerTooLong } from "./workerRefusal.ts"

const maxShortText = 64_000

export const connectionLost = ({ message }: { readonly message: string }) =>
  new ConnectionLost({ reason: message })

/** A short body as text. It is cut after 64,000 characters and the chunk that exceeds them. */
export const shortText = (
  response: HttpClientResponse.HttpClientResponse
): Effect.Effect<string, HttpClientError.HttpClientError> =>
  response.stream.pipe(
    Stream.decodeText(),
    Stream.runFold(
      () => "",
      (text, piece) => (text.length > maxShortText ? text : text + piece)
    )
  )

/** A complete body as text; fails when it has more than `maxBytes`. */
export const completeText = (
  worker: string,
  response: HttpClientResponse.HttpClientResponse,
  maxBytes: number
): Effect.Effect<string, ConnectionLost | WorkerRefused> =>
  Stream.runFoldEffect(
    Stream.mapError(response.stream, connectionLost),
    () => Buffer.alloc(0),
    (text, chunk) =>
      text.length + chunk.length > maxBytes
        ? Effect.fail(answerTooLong(worker, maxBytes))
        : Effect.succeed(Buffer.concat([text, chunk]))
  ).pipe(Effect.map((bytes) => bytes.toString()))

/** Whether a body is so short that it may be an error document. */
export const isShort = (text: string) => text.length <= maxShortText
