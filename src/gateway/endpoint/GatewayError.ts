/** Why a request was refused or broke off, before it is written in the words of a client. */
export interface GatewayError {
  /** Of HTTP. */
  readonly status: number
  /** The error's tag. */
  readonly code: string
  readonly message: string
  /** The field that is wrong, where it is known. */
  readonly param?: string | undefined
  /** The engine's own words for the error, where it said some. */
  readonly engine?: { readonly type?: string | null; readonly code?: string | null } | undefined
  /** After so many seconds the same request may go better. */
  readonly retryAfter?: number | undefined
}
