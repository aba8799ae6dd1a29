import * as Predicate from "effect/Predicate"
import * as Result from "effect/Result"

/** Whether a field of a request or chunk is as good as absent. */
export const isBlank = (value: unknown) =>
  value === undefined ||
  value === null ||
  value === false ||
  value === "" ||
  (Array.isArray(value) && value.length === 0)

/** The JSON object in a chunk; undefined when the chunk is none. */
export const parseChunk = (json: string) => {
  const value = Result.try((): unknown => JSON.parse(json))
  return Result.isSuccess(value) && Predicate.isReadonlyObject(value.success) ? value.success : undefined
}

const hasNoContent = (choice: unknown) => {
  if (!Predicate.isReadonlyObject(choice)) return false
  const { delta = {}, finish_reason, text } = choice
  return (
    Predicate.isReadonlyObject(delta) &&
    isBlank(finish_reason) &&
    isBlank(text) &&
    Object.entries(delta).every(([field, value]) => field === "role" || isBlank(value))
  )
}

/** Whether a chunk only opens an answer, with the role of its author, and has none of its content. */
export const isOpening = (json: string) => {
  const { choices, usage } = parseChunk(json) ?? {}
  return Array.isArray(choices) && isBlank(usage) && choices.every(hasNoContent)
}

/** The content of a chunk's first choice. */
export interface ChunkContent {
  readonly text: string
  readonly isFinished: boolean
  /** Whether it holds more than text, such as a tool call. */
  readonly hasOther: boolean
}

const noContent: ChunkContent = { text: "", isFinished: false, hasOther: false }

/** Reads the content of a chunk, of a chat or of a text completion. */
export const readChunk = (json: string): ChunkContent => {
  const choices = parseChunk(json)?.["choices"]
  if (!Array.isArray(choices)) return noContent
  const [choice]: ReadonlyArray<unknown> = choices
  if (!Predicate.isReadonlyObject(choice)) return noContent
  const delta = Predicate.isReadonlyObject(choice["delta"]) ? choice["delta"] : {}
  const text = delta["content"] ?? choice["text"]
  return {
    text: typeof text === "string" ? text : "",
    isFinished: typeof choice["finish_reason"] === "string",
    hasOther: Object.entries(delta).some(
      ([field, value]) => field !== "role" && field !== "content" && !isBlank(value)
    )
  }
}
