import { type EngineUsage, tokensOf } from "../../job/view/EngineChunk.ts"
import type { ResponseContext } from "../endpoint/Endpoint.ts"
import type { ToolCall } from "../endpoint/EngineAnswer.ts"
import type { ResponsesRequest } from "./responsesRequest.ts"

export const usageOf = (usage: EngineUsage | undefined) => {
  const { cached, completion, prompt, reasoning } = tokensOf(usage)
  return {
    input_tokens: prompt,
    input_tokens_details: { cached_tokens: cached, cache_write_tokens: 0 },
    output_tokens: completion,
    output_tokens_details: { reasoning_tokens: reasoning },
    total_tokens: prompt + completion
  }
}

/** The fields of a response that do not change while it is written. */
export const head = (request: ResponsesRequest, { askedAt, jobId, model }: ResponseContext) => ({
  id: `resp_${jobId}`,
  object: "response",
  created_at: Math.floor(askedAt / 1000),
  model,
  background: false,
  error: null,
  incomplete_details: null,
  instructions: request.instructions ?? null,
  max_output_tokens: request.max_output_tokens ?? null,
  metadata: request.metadata ?? {},
  parallel_tool_calls: request.parallel_tool_calls ?? true,
  previous_response_id: null,
  reasoning: { effort: request.reasoning?.effort ?? null, summary: null },
  store: false,
  temperature: request.temperature ?? null,
  text: { format: request.text?.format ?? { type: "text" } },
  tool_choice: request.tool_choice ?? "auto",
  tools: request.tools ?? [],
  top_p: request.top_p ?? null,
  truncation: "disabled"
})

export const textPart = (text: string) => ({ type: "output_text", text, annotations: [], logprobs: [] })

export const messageItem = (id: string, status: string, content: ReadonlyArray<object>) => ({
  id,
  type: "message",
  role: "assistant",
  status,
  content
})

export const reasoningPart = (text: string) => ({ type: "reasoning_text", text })

/** The complete reasoning of the model, without a summary. */
export const reasoningItem = (id: string, status: string, texts: ReadonlyArray<string>) => ({
  id,
  type: "reasoning",
  status,
  summary: [],
  content: texts.map(reasoningPart)
})

/** Clients refer to a call by its id, so each call needs one. */
export const callId = (id: string | undefined, { jobId }: ResponseContext, index: number) =>
  id || `call_${index}_${jobId}`

export const callItem = (id: string, status: string, call: ToolCall) => ({
  id,
  type: "function_call",
  call_id: call.id,
  name: call.name,
  arguments: call.arguments,
  status
})

const incomplete: { readonly [finish: string]: string } = {
  length: "max_output_tokens",
  content_filter: "content_filter"
}

/** The status of a finished response, derived from the engine's finish reason. */
export const ending = (finish: string) => {
  const reason = incomplete[finish]
  return reason === undefined
    ? { status: "completed", incomplete_details: null }
    : { status: "incomplete", incomplete_details: { reason } }
}
