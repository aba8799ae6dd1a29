import * as Predicate from "effect/Predicate"
import { type ChoicePiece, type EngineUsage, readChunk } from "../../job/view/EngineChunk.ts"

/** A call of a tool. */
export interface ToolCall {
  readonly id: string
  readonly name: string
  /** JSON text, as the model wrote it. */
  readonly arguments: string
}

/** One complete answer. */
export interface EngineChoice {
  readonly index: number
  readonly text: string
  readonly reasoning: string
  readonly toolCalls: ReadonlyArray<ToolCall>
  readonly finishReason: string
  /** The stop sequence that ended the answer, where the engine reports it. */
  readonly stop: string | undefined
  /** The log probabilities of all chunks, concatenated; null if there are none. */
  readonly logprobs: unknown
}

/** The complete answers to a request. */
export interface EngineAnswer {
  /** In the order of their index; at least one. */
  readonly choices: readonly [EngineChoice, ...ReadonlyArray<EngineChoice>]
  readonly usage: EngineUsage | undefined
}

// Chats have a list of objects here, completions several parallel lists.
const addLogprobs = (previous: unknown, piece: unknown): unknown => {
  if (!Predicate.isReadonlyObject(piece)) return previous
  if (!Predicate.isReadonlyObject(previous)) return piece
  return Object.fromEntries(
    Object.entries(piece).map(([field, values]) => {
      const before = previous[field]
      return [field, Array.isArray(before) && Array.isArray(values) ? [...before, ...values] : values]
    })
  )
}

interface PartialChoice {
  readonly text: Array<string>
  readonly reasoning: Array<string>
  readonly calls: Map<number, { id: string; name: string; readonly arguments: Array<string> }>
  readonly logprobs: Array<unknown>
  finishReason: string
  stop: string | undefined
}

const empty = (): PartialChoice => ({
  text: [],
  reasoning: [],
  calls: new Map(),
  logprobs: [],
  finishReason: "stop",
  stop: undefined
})

const addPiece = (
  partial: PartialChoice,
  { finishReason, logprobs, reasoning, stop, text, toolCalls }: ChoicePiece
) => {
  partial.text.push(text)
  partial.reasoning.push(reasoning)
  if (logprobs !== null) partial.logprobs.push(logprobs)
  partial.finishReason = finishReason ?? partial.finishReason
  partial.stop = stop ?? partial.stop
  for (const { arguments: piece, id, index, name } of toolCalls) {
    const call = partial.calls.get(index) ?? { id: "", name: "", arguments: [] }
    call.id = id ?? call.id
    call.name = name ?? call.name
    call.arguments.push(piece)
    partial.calls.set(index, call)
  }
}

const byIndex = ([left]: readonly [number, unknown], [right]: readonly [number, unknown]) => left - right

const completeChoice = (index: number, partial: PartialChoice): EngineChoice => ({
  index,
  text: partial.text.join(""),
  reasoning: partial.reasoning.join(""),
  toolCalls: [...partial.calls]
    .sort(byIndex)
    .map(([, { arguments: pieces, id, name }]) => ({ id, name, arguments: pieces.join("") })),
  finishReason: partial.finishReason,
  stop: partial.stop,
  logprobs: partial.logprobs.reduce(addLogprobs, null)
})

/** Assembles an answer from its chunks. */
export const assemble = (chunks: Iterable<string>): EngineAnswer => {
  const choices = new Map<number, PartialChoice>()
  let usage: EngineUsage | undefined
  for (const data of chunks) {
    const chunk = readChunk(data)
    usage = chunk?.usage ?? usage
    for (const piece of chunk?.choices ?? []) {
      const partial = choices.get(piece.index) ?? empty()
      choices.set(piece.index, partial)
      addPiece(partial, piece)
    }
  }
  const [first = completeChoice(0, empty()), ...others] = [...choices]
    .sort(byIndex)
    .map(([index, partial]) => completeChoice(index, partial))
  return { choices: [first, ...others], usage }
}
