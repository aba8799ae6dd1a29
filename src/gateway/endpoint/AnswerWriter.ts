import type { GatewayError } from "./GatewayError.ts"

/** Writes an answer in the format of one API, from the data of the engine's chunks. A writer serves one answer and may keep state. */
export interface AnswerWriter {
  /** The text for a chunk's data; empty if the client gets nothing for it. */
  readonly chunk: (data: string) => string
  /** The text that ends a complete answer. */
  readonly end: () => string
  /** The text that ends an answer that failed after its first bytes. */
  readonly failed: (failure: GatewayError) => string
}
