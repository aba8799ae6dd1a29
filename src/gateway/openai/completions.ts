import * as Option from "effect/Option"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import { sseFrame } from "../../http/SseFrame.ts"
import {
  type ResponseContext,
  type Body,
  type Endpoint,
  type EndpointRequest,
  InvalidRequest,
  type Reading,
  type ResponseMode
} from "../endpoint/Endpoint.ts"
import type { EngineAnswer, EngineChoice } from "../endpoint/EngineAnswer.ts"
import { definedFields } from "../endpoint/reading.ts"
import { chatBody } from "./chatRequest.ts"
import { completionLogprobs, logprobsWriter } from "./completionLogprobs.ts"
import { openAiError, openAiFormat } from "./format.ts"
import { answerWithFunctions, functionWriter, usesFunctions } from "./legacyFunctions.ts"
import { ModelName, Streaming } from "./requests.ts"

const isModel = Schema.is(ModelName)
const readStreaming = Schema.decodeUnknownOption(Streaming)

const choices = '"choices":['

// Quotes inside a text are escaped, so a match is always the field. Searching for `"choices":[]` would scan every chunk to
// its end.
const isUsageOnly = (data: string) => {
  const at = data.indexOf(choices)
  return at !== -1 && data[at + choices.length] === "]"
}

type ChatReply = Extract<ResponseMode, { readonly _tag: "Stream" | "Complete" }>

/** Streams the engine's chunks unchanged. */
const streaming = (includeUsage: boolean): ChatReply => ({
  _tag: "Stream",
  contentType: "text/event-stream",
  idle: ": waiting\n\n",
  writer: () => ({
    chunk: (data) => (includeUsage || !isUsageOnly(data) ? sseFrame(data) : ""),
    end: () => sseFrame("[DONE]"),
    failed: (failure) => sseFrame(JSON.stringify({ error: openAiError(failure) }))
  })
})

const head = (id: string, object: string, { askedAt, jobId, model }: ResponseContext) => ({
  id: `${id}-${jobId}`,
  object,
  created: Math.floor(askedAt / 1000),
  model
})

const message = ({ reasoning, text, toolCalls }: EngineChoice) => ({
  role: "assistant",
  content: text === "" && toolCalls.length > 0 ? null : text,
  refusal: null,
  ...(reasoning === "" ? {} : { reasoning_content: reasoning }),
  ...(toolCalls.length === 0
    ? {}
    : {
        tool_calls: toolCalls.map(({ arguments: json, id, name }) => ({
          id,
          type: "function",
          function: { name, arguments: json }
        }))
      })
})

const completeChat = ({ choices, usage }: EngineAnswer, context: ResponseContext) => ({
  ...head("chatcmpl", "chat.completion", context),
  choices: choices.map((choice) => ({
    index: choice.index,
    message: message(choice),
    logprobs: choice.logprobs,
    finish_reason: choice.finishReason
  })),
  usage
})

const completeCompletion = ({ choices, usage }: EngineAnswer, context: ResponseContext) => ({
  ...head("cmpl", "text_completion", context),
  choices: choices.map(({ finishReason, index, logprobs, text }) => ({
    index,
    text,
    logprobs: completionLogprobs(logprobs, 0),
    finish_reason: finishReason
  })),
  usage
})

const readModel = ({ model }: Body) =>
  isModel(model)
    ? Result.succeed(model)
    : Result.fail(
        new InvalidRequest({
          reason: "'model' must be the name of a model; GET /v1/models lists them",
          param: "model"
        })
      )

const readReply = (
  body: Body,
  toJson: (answer: EngineAnswer, context: ResponseContext) => Body
): Result.Result<ChatReply, InvalidRequest> => {
  const options = readStreaming(body)
  if (Option.isNone(options)) {
    return Result.fail(
      new InvalidRequest({
        reason: "'stream' must be true or false, and 'stream_options' an object with include_usage",
        param: "stream"
      })
    )
  }
  const { stream, stream_options } = options.value
  return Result.succeed(
    stream === true
      ? streaming(stream_options?.include_usage === true)
      : ({ _tag: "Complete", toJson } as const)
  )
}

const withFunctions = (reply: ChatReply): ChatReply =>
  reply._tag === "Stream"
    ? { ...reply, writer: (context) => functionWriter(reply.writer(context)) }
    : { ...reply, toJson: (answer, context) => answerWithFunctions(reply.toJson(answer, context)) }

const withLogprobs = (reply: ChatReply): ChatReply =>
  reply._tag === "Stream" ? { ...reply, writer: (context) => logprobsWriter(reply.writer(context)) } : reply

function* readChat(body: Body): Reading<EndpointRequest> {
  const model = yield* readModel(body)
  const chat = yield* chatBody(body)
  const reply = yield* readReply(body, completeChat)
  return {
    model,
    api: "chat/completions",
    body: chat,
    reply: usesFunctions(body) ? withFunctions(reply) : reply
  }
}

function* readCompletion(body: Body): Reading<EndpointRequest> {
  const model = yield* readModel(body)
  const reply = yield* readReply(body, completeCompletion)
  const { logprobs } = body
  return {
    model,
    api: "completions",
    body: definedFields(body),
    reply: typeof logprobs === "number" || logprobs === true ? withLogprobs(reply) : reply
  }
}

/** `POST /v1/chat/completions`: the engine decides which fields it accepts. */
export const chatEndpoint: Endpoint = {
  path: "/v1/chat/completions",
  format: openAiFormat,
  read: (body) => Result.gen(() => readChat(body))
}

/** `POST /v1/completions`: the engine decides which fields it accepts. */
export const completionsEndpoint: Endpoint = {
  path: "/v1/completions",
  format: openAiFormat,
  read: (body) => Result.gen(() => readCompletion(body))
}

/** `POST /v1/embeddings`: returns the engine's own document. */
export const embeddingsEndpoint: Endpoint = {
  path: "/v1/embeddings",
  format: openAiFormat,
  read: (body) =>
    Result.map(readModel(body), (model) => ({
      model,
      api: "embeddings",
      body: definedFields(body),
      reply: { _tag: "Document", toText: (document) => document }
    }))
}
