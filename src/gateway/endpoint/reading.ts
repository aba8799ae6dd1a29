import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import * as SchemaIssue from "effect/SchemaIssue"
import { type Body, InvalidRequest } from "./Endpoint.ts"

const required = "is required"

const toIssues = SchemaIssue.makeFormatterStandardSchemaV1({
  leafHook: (issue) => (issue._tag === "MissingKey" ? required : SchemaIssue.defaultLeafHook(issue))
})

// Null means absence, so an error does not list it as an expected value.
const sentenceOf = (param: string, message: string) =>
  message === required ? `'${param}' ${required}` : `'${param}': ${message.replaceAll(" | null", "")}`

/** Decodes a body; the error names the first invalid field by its path. */
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

/** The error of a field whose feature no engine of this endpoint supports. */
export const unsupportedField = (param: string, what: string) =>
  Result.fail(new InvalidRequest({ reason: `'${param}': ${what}`, param }))

/** The fields that are neither undefined nor null. */
export const definedFields = (fields: Body): Body =>
  Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== undefined && value !== null))

/** A part of a message in the engines' format. */
export type EnginePart =
  | { readonly type: "text"; readonly text: string }
  | { readonly type: "image_url"; readonly image_url: { readonly url: string } }

/** A turn of a conversation in the engines' format. */
export interface EngineMessage {
  readonly role: "system" | "user" | "assistant" | "tool"
  readonly content: string | ReadonlyArray<EnginePart> | null
  /** The model's reasoning before its answer. */
  readonly reasoning_content?: string
  readonly tool_calls?: ReadonlyArray<EngineToolCall>
  readonly tool_call_id?: string
}

/** A tool call in the engines' format. */
export interface EngineToolCall {
  readonly id: string
  readonly type: "function"
  readonly function: { readonly name: string; readonly arguments: string }
}

/** A tool in the engines' format. */
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
    ...definedFields({ description, parameters: parameters ?? { type: "object", properties: {} }, strict })
  }
})

/** The arguments of a call as the model wrote them; empty if they are not a JSON object. */
export const parsedArguments = (text: string): unknown => {
  const parsed = Result.try((): unknown => JSON.parse(text))
  return Result.isSuccess(parsed) && typeof parsed.success === "object" ? (parsed.success ?? {}) : {}
}
