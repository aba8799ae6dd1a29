import * as Context from "effect/Context"
import type { ApiKey } from "../access/ApiKey.ts"

/** The sender of a request. */
export class Caller extends Context.Service<
  Caller,
  {
    /** The sender's API key; undefined for an unrestricted sender. */
    readonly key: ApiKey | undefined
    /** The sender's credential as the audit log names it: `token` or `key` with its fingerprint, or `local` without one. */
    readonly name: string
  }
>()("rbee/daemon/Caller") {}
