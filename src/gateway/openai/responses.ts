import * as Result from "effect/Result"
import type { ResponseContext, Body, Endpoint, EndpointRequest, Reading } from "../endpoint/Endpoint.ts"
import type { EngineAnswer } from "../endpoint/EngineAnswer.ts"
import { openAiFormat } from "./format.ts"
import { engineBody, readResponses, type ResponsesRequest } from "./responsesRequest.ts"
import {
  callId,
  callItem,
  ending,
  head,
  messageItem,
  reasoningItem,
  textPart,
  usageOf
} from "./responsesShape.ts"
import { ResponseWriter } from "./ResponseWriter.ts"

const completeResponse =
  (request: ResponsesRequest) =>
  ({ choices: [choice], usage }: EngineAnswer, context: ResponseContext) => ({
    ...head(request, context),
    ...ending(choice.finishReason),
    output: [
      ...(choice.reasoning === ""
        ? []
        : [reasoningItem(`rs_${context.jobId}`, "completed", [choice.reasoning])]),
      ...(choice.text === "" && choice.toolCalls.length > 0
        ? []
        : [messageItem(`msg_${context.jobId}`, "completed", [textPart(choice.text)])]),
      ...choice.toolCalls.map((call, index) =>
        callItem(`fc_${index}_${context.jobId}`, "completed", {
          ...call,
          id: callId(call.id, context, index)
        })
      )
    ],
    usage: usageOf(usage)
  })

function* readResponse(body: Body): Reading<EndpointRequest> {
  const request = yield* readResponses(body)
  const engineRequest = yield* engineBody(request)
  return {
    model: request.model,
    notes: engineRequest.notes,
    api: "chat/completions",
    body: engineRequest.body,
    reply:
      request.stream === true
        ? {
            _tag: "Stream",
            contentType: "text/event-stream",
            idle: ": waiting\n\n",
            writer: (context) => new ResponseWriter(request, context)
          }
        : { _tag: "Complete", toJson: completeResponse(request) }
  }
}

/** `POST /v1/responses`: text and tools. Responses are not stored. */
export const responsesEndpoint: Endpoint = {
  path: "/v1/responses",
  format: openAiFormat,
  fieldNames: { max_tokens: "max_output_tokens", messages: "input", response_format: "text.format" },
  read: (body) => Result.gen(() => readResponse(body))
}
