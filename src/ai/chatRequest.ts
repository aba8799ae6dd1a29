import * as AiError from "effect/ai/AiError"
import type * as LanguageModel from "effect/ai/LanguageModel"
import * as Prompt from "effect/ai/Prompt"
import * as Tool from "effect/ai/Tool"
import * as Base64 from "effect/encoding/Base64"

/** A part of a prompt, or a tool, that OpenAI's chat endpoint has no form for. */
export class Unsupported extends Error {}

const dataUrl = ({ data, mediaType }: Prompt.FilePart) => {
  if (data instanceof URL) return data.href
  const base64 = typeof data === "string" ? data : Base64.encode(data)
  return base64.startsWith("data:") || /^https?:/.test(base64) ? base64 : `data:${mediaType};base64,${base64}`
}

const userPart = (part: Prompt.UserMessagePart) => {
  if (part.type === "text") return { type: "text", text: part.text }
  if (part.mediaType.startsWith("image/")) return { type: "image_url", image_url: { url: dataUrl(part) } }
  throw new Unsupported(`a file of type ${part.mediaType} in a prompt is not supported; send text or images`)
}

const userMessage = ({ content }: Prompt.UserMessage) => ({
  role: "user",
  content: content.every((part) => part.type === "text")
    ? content.map((part) => (part.type === "text" ? part.text : "")).join("")
    : content.map(userPart)
})

const toolResult = (part: Prompt.ToolResultPart) => ({
  role: "tool",
  tool_call_id: part.id,
  content:
    part.modelOutput === undefined
      ? typeof part.result === "string"
        ? part.result
        : JSON.stringify(part.result)
      : Prompt.toolModelOutputToText(part.modelOutput)
})

const assistantMessage = ({ content }: Prompt.AssistantMessage) => {
  const text = content.flatMap((part) => (part.type === "text" ? [part.text] : [])).join("")
  const calls = content.flatMap((part) =>
    part.type === "tool-call"
      ? [
          {
            id: part.id,
            type: "function",
            function: { name: part.name, arguments: JSON.stringify(part.params) }
          }
        ]
      : []
  )
  return {
    role: "assistant",
    content: text === "" && calls.length > 0 ? null : text,
    ...(calls.length > 0 ? { tool_calls: calls } : {})
  }
}

const messagesOf = (message: Prompt.Message): ReadonlyArray<unknown> => {
  switch (message.role) {
    case "system":
      return [{ role: "system", content: message.content }]
    case "user":
      return [userMessage(message)]
    case "assistant":
      return [assistantMessage(message)]
    case "tool":
      return message.content.flatMap((part) => (part.type === "tool-result" ? [toolResult(part)] : []))
  }
}

const functionOf = (tool: Tool.Any) => {
  if (Tool.isProviderDefined(tool)) {
    throw new Unsupported(`the tool '${tool.name}' runs on a vendor's servers; rbee runs none`)
  }
  const description = Tool.getDescription(tool)
  return {
    type: "function",
    function: {
      name: tool.name,
      ...(description === undefined ? {} : { description }),
      parameters: Tool.getJsonSchema(tool)
    }
  }
}

const toolFields = ({ toolChoice, tools }: LanguageModel.ProviderOptions) => {
  if (tools.length === 0) return {}
  if (typeof toolChoice === "string") return { tools: tools.map(functionOf), tool_choice: toolChoice }
  if ("tool" in toolChoice) {
    return {
      tools: tools.map(functionOf),
      tool_choice: { type: "function", function: { name: toolChoice.tool } }
    }
  }
  const allowed: ReadonlyArray<string> = toolChoice.oneOf
  return {
    tools: tools.filter(({ name }) => allowed.includes(name)).map(functionOf),
    tool_choice: toolChoice.mode === "required" ? "required" : "auto"
  }
}

const formatFields = ({ responseFormat }: LanguageModel.ProviderOptions) =>
  responseFormat.type === "text"
    ? {}
    : {
        response_format: {
          type: "json_schema",
          json_schema: {
            name: responseFormat.objectName,
            strict: true,
            schema: Tool.getJsonSchemaFromSchema(responseFormat.schema)
          }
        }
      }

/** The body of a request to `/v1/chat/completions`; throws `Unsupported`. */
export const chatRequest = (
  model: string,
  parameters: Readonly<Record<string, unknown>>,
  options: LanguageModel.ProviderOptions
) => ({
  ...parameters,
  model,
  messages: options.prompt.content.flatMap(messagesOf),
  ...toolFields(options),
  ...formatFields(options)
})

/** The reason for a request that cannot be sent. */
export const invalidRequest = (error: unknown) =>
  new AiError.InvalidRequestError({ description: error instanceof Error ? error.message : String(error) })
