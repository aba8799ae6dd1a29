import type * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as HttpServerResponse from "effect/http/HttpServerResponse"
import * as Pull from "effect/Pull"
import { isEnd, type LoggedEvent } from "../../job/log/JobEvent.ts"
import type { TokenMeter } from "../keys/TokenMeter.ts"
import { answerHeaders } from "./answerHeaders.ts"
import { CollectedAnswer } from "./CollectedAnswer.ts"
import { endFailure } from "./endFailure.ts"
import type { CompleteMode, DocumentMode, Endpoint, EndpointRequest, ResponseMode } from "./Endpoint.ts"
import { assemble } from "./EngineAnswer.ts"
import { failureResponse } from "./errorResponses.ts"
import { fromFailure, withFieldNames } from "./failures.ts"
import type { GatewayError } from "./GatewayError.ts"
import type { RequestJob } from "./RequestJobs.ts"
import { streamedResponse } from "./streamedResponse.ts"

const invalidDocument: GatewayError = fromFailure({
  code: "InvalidResponse",
  message: "The engine sent an unexpected response; see its log (rbee worker logs)"
})

const hasContent = ({ kind }: LoggedEvent) => kind === "chunk" || kind === "result" || isEnd(kind)

/** The first batch with a part of the answer, or with the end of the job. */
const firstContent = (pull: RequestJob["pull"]): RequestJob["pull"] =>
  Effect.flatMap(pull, (events) => (events.some(hasContent) ? Effect.succeed(events) : firstContent(pull)))

/** The failure of a job that ended before any part of its answer. */
const earlyFailure = (first: ReadonlyArray<LoggedEvent>) => {
  const content = first.find(hasContent)
  return content !== undefined && isEnd(content.kind) ? endFailure(content) : undefined
}

const respondFailure = (
  { context }: RequestJob,
  { fieldNames, format }: Endpoint,
  mode: ResponseMode,
  error: GatewayError
) => {
  const failure = withFieldNames(error, fieldNames)
  const headers = answerHeaders(context)
  const answer = mode._tag === "Complete" ? mode.fromFailure?.(failure) : undefined
  return answer === undefined
    ? failureResponse(format, failure, headers)
    : HttpServerResponse.jsonUnsafe(answer, { headers })
}

const respondComplete = (
  { context, restartedAfter }: RequestJob,
  { format }: Endpoint,
  mode: CompleteMode | DocumentMode,
  request: EndpointRequest,
  answer: CollectedAnswer
) => {
  // Read here and not when the answer begins: another worker may have continued it.
  const headers = answerHeaders(context)
  if (mode._tag === "Complete") {
    const chunks = answer.chunksAfter(restartedAfter())
    return HttpServerResponse.jsonUnsafe(mode.toJson(assemble(chunks), context), { headers })
  }
  const text = mode.toText(answer.documentAfter(restartedAfter(), request.body) ?? "", context)
  return text === undefined
    ? failureResponse(format, invalidDocument, headers)
    : HttpServerResponse.text(text, { contentType: "application/json", headers })
}

/** Adds all further events of the job to an answer. */
const collectRest = (pull: RequestJob["pull"], answer: CollectedAnswer): Effect.Effect<void, Cause.Done> =>
  Effect.flatMap(pull, (events) => {
    answer.add(events)
    return collectRest(pull, answer)
  })

/**
 * The response to a request from the events of its job. The status is decided by the first part of the answer: a job that
 * fails before it is an error response, a streamed answer that fails after it ends with an error in the stream.
 */
export const respond = Effect.fnUntraced(function* (
  job: RequestJob,
  endpoint: Endpoint,
  request: EndpointRequest,
  meter: TokenMeter
) {
  const first = yield* firstContent(job.pull)
  const { reply: mode } = request
  const failure = earlyFailure(first)
  if (failure !== undefined) return respondFailure(job, endpoint, mode, failure)
  if (mode._tag === "Stream") return streamedResponse(job, mode, first, meter)
  const answer = new CollectedAnswer(meter)
  answer.add(first)
  yield* Pull.catchDone(collectRest(job.pull, answer), () => Effect.void)
  return answer.failure === undefined
    ? respondComplete(job, endpoint, mode, request, answer)
    : respondFailure(job, endpoint, mode, answer.failure)
})
