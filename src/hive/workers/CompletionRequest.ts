import type { CompletionApi } from "../../operation/fields.ts"

/** A worker that listens on a port of loopback. */
export interface WorkerAddress {
  readonly id: string
  readonly port: number
  /** Tokens that one request may have, prompt and answer together. */
  readonly contextSize?: number
  /** Whether the worker keeps streamed answers. */
  readonly keepsAnswers?: boolean
}

/** A request in OpenAI's format. */
export interface CompletionRequest {
  readonly api: CompletionApi
  readonly body: { readonly [field: string]: unknown }
  /** Estimated tokens of the prompt: the time limit of the first token grows with them. */
  readonly promptTokens: number
}
