import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import * as SchemaIssue from "effect/SchemaIssue"
import { type Body, InvalidRequest } from "./Endpoint.ts"

const required = "is required"

const toIssues = SchemaIssue.makeFormatterStandardSchemaV1({
  leafHook: (issue) => (issue._tag === "MissingKey" ? required : SchemaIssue.defaultLeafHook(issue))
})

// Null equals absence, and is no value that a client has to be told of.
const sentenceOf = (param: string, message: string) =>
  message === required ? `'${param}' ${required}` : `'${param}': ${message.replaceAll(" | null", "")}`

/** Reads a body by a schema; what is wrong first is told with the path of its field. */
export const reader = <A>(schema: Schema.ConstraintDecoder<A>) => {
  const decode = Schema.decodeUnknownResult(schema)
  return (body: Body): Result.Result<A, InvalidRequest> =>
    Result.mapError(decode(body), ({ issue }) => {
      const [first] = toIssues(issue).issues
      const param = first?.path?.map(String).join(".") ?? ""
      return new InvalidRequest({ reason: sentenceOf(param, first?.message ?? "not understood"), param })
    })
}

/** A field that may be left out or null. */
export const optional = <S extends Schema.Constraint>(schema: S) => Schema.optionalKey(Schema.NullOr(schema))

/** What a field asks for that no engine behind this door has. */
export const unsupported = (param: string, what: string) =>
  Result.fail(new InvalidRequest({ reason: `'${param}': ${what}`, param }))

/** The fields that say something. */
export const given = (fields: Body): Body =>
  Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== undefined && value !== null))

/** A part of a message in the engines' words. */
export type EnginePart =
  | { readonly type: "text"; readonly text: string }
  | { readonly type: "image_url"; readonly image_url: { readonly url: string } }

/** A turn of a conversation in the engines' words. */
export interface EngineMessage {
  readonly role: "system" | "user" | "assistant" | "tool"
  readonly content: string | ReadonlyArray<EnginePart> | null
  /** What the model thought before it answered. */
  readonly reasoning_content?: string
  readonly tool_calls?: ReadonlyArray<EngineToolCall>
  readonly tool_call_id?: string
}

/** A call of a tool in the engines' words. */
export interface EngineToolCall {
  readonly id: string
  readonly type: "function"
  readonly function: { readonly name: string; readonly arguments: string }
}

/** A tool in the engines' words. */
export interface EngineTool {
  readonly type: "function"
  readonly function: Body & { readonly name: string }
}

export const engineTool = (
  name: string,
  description: string | null | undefined,
  parameters: unknown,
  strict?: boolean | null
): EngineTool => ({
  type: "function",
  function: {
    name,
    ...given({ description, parameters: parameters ?? { type: "object", properties: {} }, strict })
  }
})

/** The arguments of a call, which the model wrote; empty when they are no JSON object. */
export const parsedArguments = (text: string): unknown => {
  const parsed = Result.try((): unknown => JSON.parse(text))
  return Result.isSuccess(parsed) && typeof parsed.success === "object" ? (parsed.success ?? {}) : {}
}
