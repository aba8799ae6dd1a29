import type { GatewayError } from "./GatewayError.ts"

/** Writes an answer in one client's format, from the data of the engine's chunks. It may remember what came before. */
export interface AnswerWriter {
  /** What the client gets for a chunk's data; empty when nothing. */
  readonly chunk: (data: string) => string
  /** What ends a whole answer. */
  readonly end: () => string
  /** What ends an answer that broke off after its first bytes. */
  readonly failed: (failure: GatewayError) => string
}

/** Data as an event of a stream, with a name where the format has names. */
export const sseFrame = (data: string, event?: string) => {
  const lines = data.includes("\n") ? data.replaceAll("\n", "\ndata: ") : data
  return event === undefined ? `data: ${lines}\n\n` : `event: ${event}\ndata: ${lines}\n\n`
}
