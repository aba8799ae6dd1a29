import * as Predicate from "effect/Predicate"
import * as Result from "effect/Result"
import { type Body, InvalidRequest, type Reading } from "../endpoint/Endpoint.ts"
import { type EngineTool, given } from "../endpoint/reading.ts"
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

/** A choice of tools by their names; undefined for the choices that every engine knows. */
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

/** The content as engines take it: absent only beside calls, and never an empty list. */
const contentOf = (content: unknown, role: unknown, hasCalls: boolean) => {
  if (hasCalls) return isEmptyList(content) ? null : content
  const isAbsent = content === undefined || content === null
  return isEmptyList(content) || (isAbsent && role === "assistant") ? "" : content
}

/**
 * A message without the fields that say nothing, which some engines refuse. Many templates pass over a role that they do
 * not know, such as `developer`: the instructions would be lost.
 */
const toEngineMessage = (message: unknown): unknown => {
  if (!Predicate.isReadonlyObject(message)) return message
  const { content, name, role, tool_calls, ...others } = message
  const calls = isEmptyList(tool_calls) ? undefined : (tool_calls ?? undefined)
  const said = contentOf(content, role, calls !== undefined)
  return {
    ...given({ role: role === "developer" ? "system" : role }),
    ...(said === undefined ? {} : { content: said }),
    ...given({ ...others, name: name === "" ? undefined : name, tool_calls: calls })
  }
}

// Left out where a function has none, which not every engine takes.
const noParameters = { type: "object", properties: {} }

const toEngineTool = (tool: unknown): unknown =>
  isTool(tool)
    ? { ...tool, function: { parameters: noParameters, ...given(tool.function), name: tool.function.name } }
    : tool

function* toEngine(body: Body): Reading<Body> {
  const fields = callsOfFunctions(toolsOfFunctions(given(body)))
  const { messages, tool_choice, tools: offered, ...others } = fields
  const tools = Array.isArray(offered) ? offered.map(toEngineTool) : offered
  const said = Array.isArray(messages) ? messages.map(toEngineMessage) : messages
  const choice = choiceByName(tool_choice)
  if (choice === undefined) {
    const none = isEmptyList(tools)
    return given({ ...others, messages: said, ...(none ? {} : { tools, tool_choice }) })
  }
  if (!Array.isArray(tools) || !tools.every(isTool)) {
    return yield* Result.fail(
      new InvalidRequest({
        reason: "'tools' must be a list of functions with names, because 'tool_choice' names one",
        param: "tools"
      })
    )
  }
  return { ...others, messages: said, ...(yield* toolFields(tools, choice)) }
}

/**
 * The body of a chat as every engine takes it: fields that are null are left out, `developer` is `system`, the older
 * `functions` are `tools`, and a choice of tools by name is a shorter list. The engine judges everything else.
 */
export const chatBody = (body: Body): Result.Result<Body, InvalidRequest> => Result.gen(() => toEngine(body))
