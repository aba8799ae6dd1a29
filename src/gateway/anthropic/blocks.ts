import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import { contentOf, imagePart, textPart } from "../endpoint/conversation.ts"
import type { InvalidRequest, Reading } from "../endpoint/Endpoint.ts"
import {
  type EngineMessage,
  type EnginePart,
  type EngineToolCall,
  optional,
  unsupportedField
} from "../endpoint/reading.ts"

const Source = Schema.Struct({
  type: Schema.String,
  media_type: optional(Schema.String),
  data: optional(Schema.String),
  url: optional(Schema.String),
  content: optional(Schema.Unknown)
})

/** A content block. One schema for all types, including unknown ones, because betas add new types. */
export const Block = Schema.StructWithRest(
  Schema.Struct({
    type: Schema.String,
    text: optional(Schema.String),
    thinking: optional(Schema.String),
    id: optional(Schema.String),
    name: optional(Schema.String),
    input: optional(Schema.Unknown),
    tool_use_id: optional(Schema.String),
    content: optional(Schema.Unknown),
    is_error: optional(Schema.Boolean),
    source: optional(Source),
    title: optional(Schema.String)
  }),
  [Schema.Record(Schema.String, Schema.Unknown)]
)
export type Block = typeof Block.Type

/** Content: one text, or a list of blocks. */
export const Content = Schema.Union([Schema.String, Schema.Array(Block)])
type Content = typeof Content.Type

const isContent = Schema.is(Content)

const fileHint = "the engines read text and images only; send its text"

const titled = (title: string | null | undefined, text: string) => (title ? `${title}\n\n${text}` : text)

const imageOf = ({ source }: Block, path: string): Result.Result<EnginePart, InvalidRequest> => {
  if (source?.type === "base64" && source.data) {
    return Result.succeed(imagePart(`data:${source.media_type ?? "image/png"};base64,${source.data}`))
  }
  return source?.type === "url" && source.url
    ? Result.succeed(imagePart(source.url))
    : unsupportedField(`${path}.source`, "an image must be given as base64 data or as a URL")
}

function* documentOf({ source, title }: Block, path: string): Reading<ReadonlyArray<EnginePart>> {
  if (source?.type === "text") return [textPart(titled(title, source.data ?? ""))]
  if (source?.type === "content" && isContent(source.content)) {
    const parts = yield* toParts(source.content, `${path}.source.content`)
    return title ? [textPart(title), ...parts] : parts
  }
  return yield* unsupportedField(`${path}.source`, `a document can be plain text only: ${fileHint}`)
}

/** The parts of a block of a user or a tool. A block of an unknown type becomes its JSON text, so that nothing is lost. */
function* partsOf(block: Block, path: string): Reading<ReadonlyArray<EnginePart>> {
  switch (block.type) {
    case "text":
      return [textPart(block.text ?? "")]
    case "image":
      return [yield* imageOf(block, path)]
    case "document":
      return yield* Result.gen(() => documentOf(block, path))
    case "search_result":
      return isContent(block.content)
        ? [textPart(block.title ?? ""), ...(yield* toParts(block.content, `${path}.content`))]
        : [textPart(block.title ?? "")]
    case "container_upload":
      return yield* unsupportedField(`${path}.type`, `files cannot be stored here: ${fileHint}`)
    default: {
      const { cache_control: _, ...fields } = block
      return [textPart(block.text ?? JSON.stringify(fields))]
    }
  }
}

function* allParts(content: Content, path: string): Reading<ReadonlyArray<EnginePart>> {
  if (typeof content === "string") return [textPart(content)]
  const parts: Array<EnginePart> = []
  for (const [index, block] of content.entries()) {
    parts.push(...(yield* Result.gen(() => partsOf(block, `${path}.${index}`))))
  }
  return parts
}

/** Content in the engines' format; the error names the path of content that no engine can read. */
export const toParts = (
  content: Content,
  path: string
): Result.Result<ReadonlyArray<EnginePart>, InvalidRequest> => Result.gen(() => allParts(content, path))

function* toolResult({ content, is_error, tool_use_id }: Block, path: string): Reading<EngineMessage> {
  const result = content ?? ""
  if (!isContent(result)) {
    return yield* unsupportedField(
      `${path}.content`,
      "the result of a tool must be a text or a list of blocks"
    )
  }
  const parts = yield* toParts(result, `${path}.content`)
  return {
    role: "tool",
    tool_call_id: tool_use_id ?? "",
    content: contentOf(is_error === true ? [textPart("The tool failed:"), ...parts] : parts)
  }
}

/** A turn of the user: first the tool results, then the other parts. */
export function* userTurn(content: Content, path: string): Reading<ReadonlyArray<EngineMessage>> {
  if (typeof content === "string") return [{ role: "user", content }]
  const results: Array<EngineMessage> = []
  const parts: Array<EnginePart> = []
  for (const [index, block] of content.entries()) {
    const at = `${path}.${index}`
    if (block.type === "tool_result") results.push(yield* Result.gen(() => toolResult(block, at)))
    else parts.push(...(yield* Result.gen(() => partsOf(block, at))))
  }
  return results.length > 0 && parts.length === 0
    ? results
    : [...results, { role: "user", content: contentOf(parts) }]
}

const toCall = ({ id, input, name }: Block): EngineToolCall => ({
  id: id ?? "",
  type: "function",
  function: { name: name ?? "", arguments: JSON.stringify(input ?? {}) }
})

const textsIn = (blocks: ReadonlyArray<Block>, type: "text" | "thinking") =>
  blocks.flatMap((block) => (block.type === type && block[type] ? [block[type]] : []))

const answerBlocks = new Set(["text", "thinking", "redacted_thinking", "tool_use"])

/** A turn of the assistant, and the types of its omitted blocks, such as those of tools that Anthropic's servers run. */
export const assistantTurn = (
  content: Content
): { readonly message: EngineMessage; readonly omitted: ReadonlyArray<string> } => {
  if (typeof content === "string") return { message: { role: "assistant", content }, omitted: [] }
  const texts = textsIn(content, "text")
  const thoughts = textsIn(content, "thinking")
  const calls = content.filter(({ type }) => type === "tool_use").map(toCall)
  return {
    message: {
      role: "assistant",
      content: texts.length === 0 && calls.length > 0 ? null : contentOf(texts.map(textPart)),
      ...(thoughts.length === 0 ? {} : { reasoning_content: thoughts.join("\n\n") }),
      ...(calls.length === 0 ? {} : { tool_calls: calls })
    },
    omitted: content.map(({ type }) => type).filter((type) => !answerBlocks.has(type))
  }
}
