import * as Predicate from "effect/Predicate"
import type { Capability } from "../../operation/Capabilities.ts"
import type { GatewayRequest } from "./Upstream.ts"

const isNonEmpty = (value: unknown) => Array.isArray(value) && value.length > 0

const imageParts: ReadonlySet<unknown> = new Set(["image", "image_url", "input_image"])

const hasImage = (message: unknown) => {
  if (!Predicate.isReadonlyObject(message)) return false
  const { content } = message
  return (
    Array.isArray(content) &&
    content.some((part: unknown) => Predicate.isReadonlyObject(part) && imageParts.has(part["type"]))
  )
}

/**
 * The capabilities that an engine needs for a request. Reasoning is not required: many clients request it by default, and
 * an engine without it can answer too.
 */
export const requiredCapabilities = ({
  api,
  body
}: Pick<GatewayRequest, "api" | "body">): ReadonlyArray<Capability> => {
  if (api === "embeddings") return ["embeddings"]
  const { function_call, functions, messages, response_format, tool_choice, tools } = body
  const format = Predicate.isReadonlyObject(response_format) ? response_format["type"] : undefined
  const needed: Array<Capability> = [api === "completions" ? "completions" : "chat"]
  const callsTools = isNonEmpty(tools) && tool_choice !== "none"
  const callsFunctions = isNonEmpty(functions) && function_call !== "none"
  if (callsTools || callsFunctions) needed.push("tools")
  if (Array.isArray(messages) && messages.some(hasImage)) needed.push("images")
  if (format === "json_schema") needed.push("json_schema")
  return needed
}
