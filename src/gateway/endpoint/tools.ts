import * as Result from "effect/Result"
import { type Body, InvalidRequest } from "./Endpoint.ts"
import { type EngineTool, given } from "./reading.ts"

/** Which tools the model may call. */
export type ToolChoice =
  | { readonly _tag: "Mode"; readonly mode: "auto" | "none" | "required" }
  /** These alone; `required`: one of them must be called. */
  | { readonly _tag: "Only"; readonly names: ReadonlyArray<string>; readonly required: boolean }

/**
 * The fields of the engine's body for tools. A choice by name becomes a shorter list, because not every engine knows
 * choices by name: llama-server takes them for `auto`.
 */
export const toolFields = (
  tools: ReadonlyArray<EngineTool>,
  choice: ToolChoice | undefined,
  parallel?: boolean | null
): Result.Result<Body, InvalidRequest> => {
  const names = choice?._tag === "Only" ? choice.names : []
  const missing = names.find((name) => tools.every((tool) => tool.function.name !== name))
  const required = choice?._tag === "Only" ? choice.required : choice?.mode === "required"
  if (missing !== undefined || (required && tools.length === 0)) {
    const reason =
      missing === undefined
        ? "'tool_choice': a call is required, and the request has no tool that can be called here"
        : `'tool_choice': there is no tool '${missing.slice(0, 128)}' in 'tools' that can be called here`
    return Result.fail(new InvalidRequest({ reason, param: "tool_choice" }))
  }
  if (tools.length === 0) return Result.succeed({})
  const mode = choice?._tag === "Mode" ? choice.mode : undefined
  return Result.succeed(
    given({
      tools: names.length === 0 ? tools : tools.filter((tool) => names.includes(tool.function.name)),
      tool_choice: mode ?? (choice?._tag === "Only" ? (choice.required ? "required" : "auto") : undefined),
      parallel_tool_calls: parallel
    })
  )
}
