import * as Predicate from "effect/Predicate"
import * as Schema from "effect/Schema"

/** How many tokens a request took; absent numbers were not told. */
export type Usage = Readonly<Record<string, Schema.Json>>

/** What one event of a completion's stream says. */
export interface CompletionPiece {
  readonly text: string
  readonly finishReason: string | undefined
  readonly usage: Usage | undefined
}

const isUsage = Schema.is(Schema.Record(Schema.String, Schema.Json))

// This runs for every token, so it looks at the fields that it needs and at no others.
/** Reads the data of one event of `/v1/completions`; nothing for what is no completion. */
export const readPiece = (data: string): CompletionPiece | undefined => {
  let event: unknown
  try {
    event = JSON.parse(data)
  } catch {
    return undefined
  }
  if (!Predicate.isReadonlyObject(event)) return undefined
  const { choices, usage } = event
  const choice: unknown = Array.isArray(choices) ? choices[0] : undefined
  const { finish_reason, text } = Predicate.isReadonlyObject(choice) ? choice : {}
  return {
    text: typeof text === "string" ? text : "",
    finishReason: typeof finish_reason === "string" ? finish_reason : undefined,
    usage: usage !== undefined && usage !== null && isUsage(usage) ? usage : undefined
  }
}
