import * as Predicate from "effect/Predicate"

/** A piece of a call that the model makes of one of the tools. Its arguments are JSON text, in pieces. */
export interface ToolCallPiece {
  readonly index: number
  readonly id: string | undefined
  readonly name: string | undefined
  readonly arguments: string
}

/** What a chunk says of one answer. */
export interface ChoicePiece {
  readonly index: number
  readonly text: string
  /** What the model thinks before it answers, where the engine tells it apart. */
  readonly reasoning: string
  readonly toolCalls: ReadonlyArray<ToolCallPiece>
  /** `stop`, `length`, `tool_calls`, …, on the last piece. */
  readonly finishReason: string | undefined
  readonly logprobs: unknown
}

/** How many tokens a request took, in the engine's words. */
export interface EngineUsage {
  readonly [field: string]: unknown
}

/** What a chunk of `/v1/chat/completions` or `/v1/completions` says. */
export interface EngineChunk {
  readonly choices: ReadonlyArray<ChoicePiece>
  readonly usage: EngineUsage | undefined
}

/** A call of a tool. */
export interface ToolCall {
  readonly id: string
  readonly name: string
  /** JSON text, as the model wrote it. */
  readonly arguments: string
}

/** One whole answer. */
export interface EngineChoice {
  readonly index: number
  readonly text: string
  readonly reasoning: string
  readonly toolCalls: ReadonlyArray<ToolCall>
  readonly finishReason: string
  /** As the engine wrote them, put together; null when there are none. */
  readonly logprobs: unknown
}

/** A request's whole answer. */
export interface EngineAnswer {
  /** In the order of their index; at least one. */
  readonly choices: readonly [EngineChoice, ...ReadonlyArray<EngineChoice>]
  readonly usage: EngineUsage | undefined
}

const textOf = (value: unknown) => (typeof value === "string" ? value : "")
const nameOf = (value: unknown) => (typeof value === "string" && value !== "" ? value : undefined)
const indexOf = (value: unknown) => (typeof value === "number" ? value : 0)
const objectsOf = (value: unknown) =>
  Array.isArray(value) ? value.filter((item) => Predicate.isReadonlyObject(item)) : []

const readToolCall = (call: { readonly [field: string]: unknown }): ToolCallPiece => {
  const called = Predicate.isReadonlyObject(call["function"]) ? call["function"] : {}
  return {
    index: indexOf(call["index"]),
    id: nameOf(call["id"]),
    name: nameOf(called["name"]),
    arguments: textOf(called["arguments"])
  }
}

const readChoice = (choice: { readonly [field: string]: unknown }): ChoicePiece => {
  const delta = Predicate.isReadonlyObject(choice["delta"]) ? choice["delta"] : choice
  return {
    index: indexOf(choice["index"]),
    text: textOf(delta["content"] ?? delta["text"]),
    reasoning: textOf(delta["reasoning_content"] ?? delta["reasoning"]),
    toolCalls: objectsOf(delta["tool_calls"]).map(readToolCall),
    finishReason: nameOf(choice["finish_reason"]),
    logprobs: choice["logprobs"] ?? null
  }
}

/** Reads a chunk's data; nothing for what is no chunk. */
export const readChunk = (data: string): EngineChunk | undefined => {
  let chunk: unknown
  try {
    chunk = JSON.parse(data)
  } catch {
    return undefined
  }
  if (!Predicate.isReadonlyObject(chunk)) return undefined
  const { choices, usage } = chunk
  return {
    choices: objectsOf(choices).map(readChoice),
    usage: Predicate.isReadonlyObject(usage) ? usage : undefined
  }
}

const tokensIn = (usage: EngineUsage | undefined, field: string) => {
  const count = usage?.[field]
  return typeof count === "number" ? count : 0
}

/** The numbers of a usage; 0 for those that the engine did not tell. */
export const tokensOf = (usage: EngineUsage | undefined) => {
  const details = usage?.["prompt_tokens_details"]
  return {
    prompt: tokensIn(usage, "prompt_tokens"),
    completion: tokensIn(usage, "completion_tokens"),
    cached: tokensIn(Predicate.isReadonlyObject(details) ? details : undefined, "cached_tokens")
  }
}

// Chats have lists of objects there, completions several lists side by side.
const addLogprobs = (whole: unknown, piece: unknown): unknown => {
  if (!Predicate.isReadonlyObject(piece)) return whole
  if (!Predicate.isReadonlyObject(whole)) return piece
  return Object.fromEntries(
    Object.entries(piece).map(([field, values]) => {
      const before = whole[field]
      return [field, Array.isArray(before) && Array.isArray(values) ? [...before, ...values] : values]
    })
  )
}

interface Gathered {
  readonly text: Array<string>
  readonly reasoning: Array<string>
  readonly calls: Map<number, { id: string; name: string; readonly arguments: Array<string> }>
  readonly logprobs: Array<unknown>
  finishReason: string
}

const empty = (): Gathered => ({
  text: [],
  reasoning: [],
  calls: new Map(),
  logprobs: [],
  finishReason: "stop"
})

const gather = (gathered: Gathered, { finishReason, logprobs, reasoning, text, toolCalls }: ChoicePiece) => {
  gathered.text.push(text)
  gathered.reasoning.push(reasoning)
  if (logprobs !== null) gathered.logprobs.push(logprobs)
  gathered.finishReason = finishReason ?? gathered.finishReason
  for (const { arguments: piece, id, index, name } of toolCalls) {
    const call = gathered.calls.get(index) ?? { id: "", name: "", arguments: [] }
    call.id = id ?? call.id
    call.name = name ?? call.name
    call.arguments.push(piece)
    gathered.calls.set(index, call)
  }
}

const byIndex = ([left]: readonly [number, unknown], [right]: readonly [number, unknown]) => left - right

const wholeChoice = (index: number, gathered: Gathered): EngineChoice => ({
  index,
  text: gathered.text.join(""),
  reasoning: gathered.reasoning.join(""),
  toolCalls: [...gathered.calls]
    .sort(byIndex)
    .map(([, { arguments: pieces, id, name }]) => ({ id, name, arguments: pieces.join("") })),
  finishReason: gathered.finishReason,
  logprobs: gathered.logprobs.reduce(addLogprobs, null)
})

/** Puts the chunks of an answer together. */
export const assemble = (chunks: Iterable<string>): EngineAnswer => {
  const choices = new Map<number, Gathered>()
  let usage: EngineUsage | undefined
  for (const data of chunks) {
    const chunk = readChunk(data)
    usage = chunk?.usage ?? usage
    for (const piece of chunk?.choices ?? []) {
      const gathered = choices.get(piece.index) ?? empty()
      choices.set(piece.index, gathered)
      gather(gathered, piece)
    }
  }
  const [first = wholeChoice(0, empty()), ...others] = [...choices]
    .sort(byIndex)
    .map(([index, gathered]) => wholeChoice(index, gathered))
  return { choices: [first, ...others], usage }
}
