/** Writes an answer in one client's format, from the data of the engine's chunks. */
export interface AnswerWriter {
  /** What the client gets for a chunk's data; empty when nothing. */
  readonly chunk: (data: string) => string
  /** What ends a whole answer. */
  readonly end: () => string
  /** What ends an answer that broke off after its first bytes. */
  readonly failed: (failure: { readonly code: string; readonly message: string }) => string
}
