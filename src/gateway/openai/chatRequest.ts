import * as Predicate from "effect/Predicate"
import * as Result from "effect/Result"
import { type Body, InvalidRequest, type Reading } from "../endpoint/Endpoint.ts"
import { type EngineTool, definedFields } from "../endpoint/reading.ts"
import { type ToolChoice, toolFields } from "../endpoint/tools.ts"
import { callsOfFunctions, toolsOfFunctions } from "./legacyFunctions.ts"

const isTool = (tool: unknown): tool is EngineTool =>
  Predicate.isReadonlyObject(tool) &&
  Predicate.isReadonlyObject(tool["function"]) &&
  typeof tool["function"]["name"] === "string"

const nameIn = (value: unknown) =>
  Predicate.isReadonlyObject(value) && Predicate.isReadonlyObject(value["function"])
    ? value["function"]["name"]
    : undefined

/** A choice of tools by name; undefined for the choices that every engine supports. */
const choiceByName = (choice: unknown): ToolChoice | undefined => {
  if (!Predicate.isReadonlyObject(choice)) return undefined
  const name = nameIn(choice)
  if (typeof name === "string") return { _tag: "Only", names: [name], required: true }
  const allowed = choice["allowed_tools"]
  if (!Predicate.isReadonlyObject(allowed) || !Array.isArray(allowed["tools"])) return undefined
  const names = allowed["tools"].map(nameIn).filter((name) => typeof name === "string")
  return { _tag: "Only", names, required: allowed["mode"] === "required" }
}

const isEmptyList = (value: unknown) => Array.isArray(value) && value.length === 0

/** The content in a form that every engine accepts: absent only with calls, and never an empty list. */
const contentOf = (content: unknown, role: unknown, hasCalls: boolean) => {
  if (hasCalls) return isEmptyList(content) ? null : content
  const isAbsent = content === undefined || content === null
  return isEmptyList(content) || (isAbsent && role === "assistant") ? "" : content
}

/**
 * A message without null and empty fields, which some engines reject. `developer` becomes `system`, because many templates
 * skip messages of an unknown role.
 */
const toEngineMessage = (message: unknown): unknown => {
  if (!Predicate.isReadonlyObject(message)) return message
  const { content, name, role, tool_calls, ...others } = message
  const calls = isEmptyList(tool_calls) ? undefined : (tool_calls ?? undefined)
  const engineContent = contentOf(content, role, calls !== undefined)
  return {
    ...definedFields({ role: role === "developer" ? "system" : role }),
    ...(engineContent === undefined ? {} : { content: engineContent }),
    ...definedFields({ ...others, name: name === "" ? undefined : name, tool_calls: calls })
  }
}

// Some engines require `parameters`, even if a function has none.
const noParameters = { type: "object", properties: {} }

const toEngineTool = (tool: unknown): unknown =>
  isTool(tool)
    ? {
        ...tool,
        function: { parameters: noParameters, ...definedFields(tool.function), name: tool.function.name }
      }
    : tool

function* toEngine(body: Body): Reading<Body> {
  const fields = callsOfFunctions(toolsOfFunctions(definedFields(body)))
  const { messages, tool_choice, tools: offered, ...others } = fields
  const tools = Array.isArray(offered) ? offered.map(toEngineTool) : offered
  const turns = Array.isArray(messages) ? messages.map(toEngineMessage) : messages
  const choice = choiceByName(tool_choice)
  if (choice === undefined) {
    const none = isEmptyList(tools)
    return definedFields({ ...others, messages: turns, ...(none ? {} : { tools, tool_choice }) })
  }
  if (!Array.isArray(tools) || !tools.every(isTool)) {
    return yield* Result.fail(
      new InvalidRequest({
        reason: "'tools' must be a list of functions with names, because 'tool_choice' names one",
        param: "tools"
      })
    )
  }
  return { ...others, messages: turns, ...(yield* toolFields(tools, choice)) }
}

/**
 * The body of a chat in a form that every engine accepts: without null fields, with `system` for `developer`, `tools` for
 * the older `functions`, and a shorter list of tools for a choice by name. The engine validates everything else.
 */
export const chatBody = (body: Body): Result.Result<Body, InvalidRequest> => Result.gen(() => toEngine(body))
