import * as Predicate from "effect/Predicate"
import { type ChoicePiece, type EngineUsage, readChunk } from "../../job/view/EngineChunk.ts"

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
  /** The stop sequence that ended the answer, where the engine reports it. */
  readonly stop: string | undefined
  /** As the engine wrote them, put together; null when there are none. */
  readonly logprobs: unknown
}

/** A request's whole answer. */
export interface EngineAnswer {
  /** In the order of their index; at least one. */
  readonly choices: readonly [EngineChoice, ...ReadonlyArray<EngineChoice>]
  readonly usage: EngineUsage | undefined
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
  stop: string | undefined
}

const empty = (): Gathered => ({
  text: [],
  reasoning: [],
  calls: new Map(),
  logprobs: [],
  finishReason: "stop",
  stop: undefined
})

const gather = (
  gathered: Gathered,
  { finishReason, logprobs, reasoning, stop, text, toolCalls }: ChoicePiece
) => {
  gathered.text.push(text)
  gathered.reasoning.push(reasoning)
  if (logprobs !== null) gathered.logprobs.push(logprobs)
  gathered.finishReason = finishReason ?? gathered.finishReason
  gathered.stop = stop ?? gathered.stop
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
  stop: gathered.stop,
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
