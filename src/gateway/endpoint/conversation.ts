import type { EngineMessage, EnginePart } from "./reading.ts"

const separator = "\n\n"

export const textPart = (text: string): EnginePart => ({ type: "text", text })

/** An image by its URL, which may be a `data:` URL. */
export const imagePart = (url: string): EnginePart => ({ type: "image_url", image_url: { url } })

/** The content of a message. Text without images is one string, because not every template accepts a list. */
export const contentOf = (parts: ReadonlyArray<EnginePart>): string | ReadonlyArray<EnginePart> => {
  const texts = parts.flatMap((part) => (part.type === "text" && part.text !== "" ? [part.text] : []))
  return parts.every(({ type }) => type === "text") ? texts.join(separator) : parts
}

const partsOf = (content: EngineMessage["content"]): ReadonlyArray<EnginePart> =>
  typeof content === "string" ? [textPart(content)] : (content ?? [])

const joined = (left: EngineMessage, right: EngineMessage): EngineMessage => {
  const content = contentOf([...partsOf(left.content), ...partsOf(right.content)])
  const calls = [...(left.tool_calls ?? []), ...(right.tool_calls ?? [])]
  const reasoning = [left.reasoning_content, right.reasoning_content].filter((text) => text !== undefined)
  return {
    role: left.role,
    content: content === "" && calls.length > 0 ? null : content,
    ...(reasoning.length === 0 ? {} : { reasoning_content: reasoning.join(separator) }),
    ...(calls.length === 0 ? {} : { tool_calls: calls })
  }
}

/**
 * Merges consecutive turns of the same role, because many templates require alternating roles. Tool results are not merged.
 */
export const mergeTurns = (messages: ReadonlyArray<EngineMessage>): ReadonlyArray<EngineMessage> => {
  const merged: Array<EngineMessage> = []
  for (const message of messages) {
    const last = merged.at(-1)
    if (last === undefined || last.role !== message.role || message.role === "tool") merged.push(message)
    else merged[merged.length - 1] = joined(last, message)
  }
  return merged
}

const withoutSystem = (message: EngineMessage): EngineMessage =>
  message.role === "system" ? { role: "user", content: message.content } : message

/**
 * Moves instructions to the beginning, the only place that every template supports. Instructions after the first answer
 * become text of the user instead, so that the prompt before them, a worker's prefix cache, does not change.
 */
export const placeSystem = (messages: ReadonlyArray<EngineMessage>): ReadonlyArray<EngineMessage> => {
  const answered = messages.findIndex(({ role }) => role === "assistant" || role === "tool")
  const first = answered === -1 ? messages.length : answered
  const system = messages.slice(0, first).filter(({ role }) => role === "system")
  const others = messages.filter(({ role }, at) => role !== "system" || at >= first)
  return [...system, ...others.map(withoutSystem)]
}
