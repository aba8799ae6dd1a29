import * as Effect from "effect/Effect"
import * as HttpServerResponse from "effect/http/HttpServerResponse"
import { fromScopedPull } from "../../http/fromScopedPull.ts"
import { isEnd, type LoggedEvent } from "../../job/log/JobEvent.ts"
import type { TokenMeter } from "../keys/TokenMeter.ts"
import { answerHeaders } from "./answerHeaders.ts"
import type { AnswerWriter } from "./AnswerWriter.ts"
import { endFailure } from "./endFailure.ts"
import type { StreamMode } from "./Endpoint.ts"
import type { RequestJob } from "./RequestJobs.ts"

/** The text that the client gets for events of the job. */
const textOf = (events: ReadonlyArray<LoggedEvent>, writer: AnswerWriter, meter: TokenMeter) => {
  let text = ""
  for (const event of events) {
    if (event.kind === "chunk") {
      meter.note(event.json)
      text += writer.chunk(event.json)
    } else if (isEnd(event.kind)) {
      const failure = endFailure(event)
      text += failure === undefined ? writer.end() : writer.failed(failure)
    }
  }
  return text
}

/** The response that sends an answer in pieces: one write for each batch of events, beginning with the events `first`. */
export const streamedResponse = (
  { context, pull }: RequestJob,
  mode: StreamMode,
  first: ReadonlyArray<LoggedEvent>,
  meter: TokenMeter
) => {
  const writer = mode.writer(context)
  const write = (events: ReadonlyArray<LoggedEvent>) =>
    [Buffer.from(events.length === 0 ? mode.idle : textOf(events, writer, meter))] as const
  let next: ReadonlyArray<LoggedEvent> | undefined = first
  const bytes = Effect.suspend(() => {
    const events = next
    next = undefined
    return Effect.map(events === undefined ? pull : Effect.succeed(events), write)
  })
  return HttpServerResponse.stream(fromScopedPull(Effect.succeed(bytes)), {
    contentType: mode.contentType,
    headers: { ...answerHeaders(context), "x-accel-buffering": "no" }
  })
}
