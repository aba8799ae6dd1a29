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
 * What an engine must be able to do for a request. Reasoning is not among it: clients ask for it by habit, and an engine
 * without it answers as well.
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
