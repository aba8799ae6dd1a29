/** The reason for a rejected or failed request, not yet in the format of an API. */
export interface GatewayError {
  /** The HTTP status. */
  readonly status: number
  /** The error's tag. */
  readonly code: string
  readonly message: string
  /** The invalid field, if known. */
  readonly param?: string | undefined
  /** The engine's own type and code of the error, if it sent them. */
  readonly engine?: { readonly type?: string | null; readonly code?: string | null } | undefined
  /** The number of seconds after which the client should retry. */
  readonly retryAfter?: number | undefined
}
