import * as Effect from "effect/Effect"
import type * as HttpClient from "effect/http/HttpClient"
import type * as HttpClientError from "effect/http/HttpClientError"
import * as HttpClientRequest from "effect/http/HttpClientRequest"
import type * as HttpClientResponse from "effect/http/HttpClientResponse"
import { readEngineError } from "../../http/engineErrors.ts"
import { causeCode } from "../../settings/systemProblem.ts"
import { connectionLost, shortText } from "./answerBody.ts"
import type { CompletionRequest, WorkerAddress } from "./CompletionRequest.ts"
import { withFittingLimit } from "./fittingLimit.ts"
import { refusal } from "./workerRefusal.ts"

export const workerUrl = (port: number, path: string) => `http://127.0.0.1:${port}${path}`

/** Where a worker has a request. */
export const requestPath = (requestId: string) => `/v1/requests/${encodeURIComponent(requestId)}`

const closedCodes: ReadonlySet<string | undefined> = new Set(["ECONNRESET", "EPIPE", "UND_ERR_SOCKET"])

// An engine may close an idle connection in the moment in which a request is sent on it; a new one shows whether it runs.
const isStale = ({ reason }: HttpClientError.HttpClientError) =>
  reason._tag === "TransportError" && closedCodes.has(causeCode(reason.cause))

/** Fails for a response with another status than 200. */
const accepted = Effect.fnUntraced(function* (
  worker: string,
  response: HttpClientResponse.HttpClientResponse
) {
  if (response.status === 200) return response
  const text = yield* Effect.mapError(shortText(response), connectionLost)
  return yield* refusal(worker, response.status, readEngineError(text))
})

const post = Effect.fnUntraced(function* (
  http: HttpClient.HttpClient,
  { id, keepsAnswers, port }: WorkerAddress,
  requestId: string,
  { api, body }: CompletionRequest,
  keepMs: number
) {
  const keeps = keepsAnswers === true && keepMs > 0
  const response = yield* http
    .post(workerUrl(port, `/v1/${api}`), {
      headers: { "x-request-id": requestId, ...(keeps ? { "x-rbee-keep-ms": String(keepMs) } : {}) },
      body: HttpClientRequest.bodyJsonUnsafe(HttpClientRequest.empty, body).body
    })
    .pipe(Effect.retry({ times: 1, while: isStale }), Effect.mapError(connectionLost))
  return yield* accepted(id, response)
})

/**
 * Sends a request to a worker; every status but 200 fails. vLLM, SGLang and TGI refuse a limit of tokens that other
 * engines cut to what the prompt leaves of the context: such a request is sent again with the limit cut. A worker that keeps
 * answers keeps this one for `keepMs` milliseconds without a reader; 0: not at all.
 */
export const sendCompletion = (
  http: HttpClient.HttpClient,
  worker: WorkerAddress,
  requestId: string,
  request: CompletionRequest,
  keepMs = 0
) =>
  Effect.catchTag(post(http, worker, requestId, request, keepMs), "ContextLengthExceeded", (error) => {
    const { contextSize } = worker
    const body =
      contextSize === undefined ? undefined : withFittingLimit(request.body, contextSize, error.detail)
    return body === undefined
      ? Effect.fail(error)
      : post(http, worker, requestId, { ...request, body }, keepMs)
  })

/** Asks a worker for the answer to a request that it kept, from the beginning. */
export const sendReplay = Effect.fnUntraced(function* (
  http: HttpClient.HttpClient,
  { id, port }: WorkerAddress,
  requestId: string
) {
  const response = yield* http
    .get(workerUrl(port, `${requestPath(requestId)}/stream`))
    .pipe(Effect.mapError(connectionLost))
  return yield* accepted(id, response)
})
