import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import { contentOf, imagePart, mergeTurns, textPart } from "../endpoint/conversation.ts"
import type { InvalidRequest, Reading } from "../endpoint/Endpoint.ts"
import {
  type EngineMessage,
  type EnginePart,
  type EngineToolCall,
  optional,
  unsupportedField
} from "../endpoint/reading.ts"

const Part = Schema.Struct({
  type: Schema.String,
  text: optional(Schema.String),
  refusal: optional(Schema.String),
  image_url: optional(Schema.String)
})
const Content = Schema.Union([Schema.String, Schema.Array(Part)])
type Content = typeof Content.Type

/** An item of `input`. One schema for all types, including unknown ones, because clients often add new types. */
export const Item = Schema.Struct({
  type: optional(Schema.String),
  role: optional(Schema.Literals(["system", "developer", "user", "assistant"])),
  content: optional(Content),
  summary: optional(Schema.Array(Part)),
  call_id: optional(Schema.String),
  name: optional(Schema.String),
  arguments: optional(Schema.String),
  /** The input of a call of a `custom` tool. */
  input: optional(Schema.String),
  /** The action of a call of `local_shell` and similar tools. */
  action: optional(Schema.Unknown),
  output: optional(Schema.Union([Content, Schema.Unknown]))
})
export type Item = typeof Item.Type

const isContent = Schema.is(Content)

const partOf = (part: typeof Part.Type, path: string): Result.Result<EnginePart, InvalidRequest> => {
  if (part.type === "input_image") {
    return part.image_url
      ? Result.succeed(imagePart(part.image_url))
      : unsupportedField(`${path}.image_url`, "an image must be given by a URL; files cannot be stored here")
  }
  if (part.type === "input_file" || part.type === "input_audio") {
    return unsupportedField(
      `${path}.type`,
      `parts of the type '${part.type}' are not supported; send text or images`
    )
  }
  const text = part.text ?? part.refusal
  return text === undefined || text === null
    ? unsupportedField(
        `${path}.type`,
        `parts of the type '${part.type}' are not supported; send text or images`
      )
    : Result.succeed(textPart(text))
}

function* partsOf(content: Content, path: string): Reading<ReadonlyArray<EnginePart>> {
  if (typeof content === "string") return [textPart(content)]
  const parts: Array<EnginePart> = []
  for (const [index, part] of content.entries()) parts.push(yield* partOf(part, `${path}.${index}`))
  return parts
}

const textIn = (parts: ReadonlyArray<typeof Part.Type> | null | undefined) =>
  (parts ?? []).map(({ text }) => text ?? "").join("\n\n")

const thoughtsOf = ({ content, summary }: Item) =>
  typeof content === "string" ? content : textIn(content) || textIn(summary)

const isCall = ({ type }: Item) => type?.endsWith("_call") === true
const isOutput = ({ type }: Item) => type?.endsWith("_call_output") === true

const toCall = ({ action, arguments: json, call_id, input, name, type }: Item): EngineToolCall => ({
  id: call_id ?? "",
  type: "function",
  function: {
    name: name ?? (type ?? "").slice(0, -"_call".length),
    arguments: json ?? JSON.stringify(input === undefined || input === null ? (action ?? {}) : { input })
  }
})

function* toolMessage({ call_id, output }: Item, path: string): Reading<EngineMessage> {
  const parts = isContent(output)
    ? yield* Result.gen(() => partsOf(output, path))
    : [textPart(JSON.stringify(output ?? ""))]
  return { role: "tool", tool_call_id: call_id ?? "", content: contentOf(parts) }
}

/** The items of a request in the engines' format. */
export interface Turns {
  readonly messages: ReadonlyArray<EngineMessage>
  /** A sentence for each omitted item. */
  readonly notes: ReadonlyArray<string>
}

function* toMessages(items: ReadonlyArray<Item>): Reading<Turns> {
  const messages: Array<EngineMessage> = []
  const notes = new Set<string>()
  const answered = new Set(items.filter(isOutput).map(({ call_id }) => call_id))
  for (const [index, item] of items.entries()) {
    const { type } = item
    const path = `input.${index}`
    if ((type ?? "message") === "message" && item.role !== undefined && item.role !== null) {
      const role = item.role === "developer" ? "system" : item.role
      const parts = yield* Result.gen(() => partsOf(item.content ?? "", `${path}.content`))
      messages.push({ role, content: contentOf(parts) })
    } else if (isOutput(item)) {
      messages.push(yield* Result.gen(() => toolMessage(item, `${path}.output`)))
    } else if (type === "function_call" || (isCall(item) && answered.has(item.call_id))) {
      messages.push({ role: "assistant", content: null, tool_calls: [toCall(item)] })
    } else if (type === "reasoning") {
      const thoughts = thoughtsOf(item)
      if (thoughts !== "") messages.push({ role: "assistant", content: "", reasoning_content: thoughts })
    } else if (type === "item_reference") {
      yield* unsupportedField(`${path}.type`, "items are not stored here; send the complete item")
    } else {
      notes.add(`Items of the type '${(type ?? "").slice(0, 64)}' in 'input' are ignored`)
    }
  }
  return { messages: mergeTurns(messages), notes: [...notes] }
}

/** Converts items to turns. The tool calls of one turn, and the reasoning and text before them, become one message. */
export const readItems = (items: ReadonlyArray<Item>): Result.Result<Turns, InvalidRequest> =>
  Result.gen(() => toMessages(items))
