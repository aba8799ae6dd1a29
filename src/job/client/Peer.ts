import type * as Redacted from "effect/Redacted"

/** Another daemon: its base URL, and the token that it requires. */
export interface Peer {
  readonly url: string
  readonly token?: Redacted.Redacted<string> | undefined
}
