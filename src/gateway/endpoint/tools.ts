import * as Result from "effect/Result"
import { type Body, InvalidRequest } from "./Endpoint.ts"
import { type EngineTool, definedFields } from "./reading.ts"

/** Which tools the model may call. */
export type ToolChoice =
  | { readonly _tag: "Mode"; readonly mode: "auto" | "none" | "required" }
  /** Only these; `required`: the model must call one of them. */
  | { readonly _tag: "Only"; readonly names: ReadonlyArray<string>; readonly required: boolean }

/**
 * The tool fields of the engine's body. A choice by name becomes a shorter list of tools, because not every engine supports
 * it: llama-server treats it as `auto`.
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
        ? "'tool_choice': a call is required, but the request has no tool that an engine can call"
        : `'tool_choice': 'tools' has no callable tool '${missing.slice(0, 128)}'`
    return Result.fail(new InvalidRequest({ reason, param: "tool_choice" }))
  }
  if (tools.length === 0) return Result.succeed({})
  const mode = choice?._tag === "Mode" ? choice.mode : undefined
  return Result.succeed(
    definedFields({
      tools: names.length === 0 ? tools : tools.filter((tool) => names.includes(tool.function.name)),
      tool_choice: mode ?? (choice?._tag === "Only" ? (choice.required ? "required" : "auto") : undefined),
      parallel_tool_calls: parallel
    })
  )
}
