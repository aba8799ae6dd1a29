import * as Context from "effect/Context"
import type { ApiKey } from "../access/ApiKey.ts"

/** The sender of a request: the holder of the API key `key`, or an unrestricted sender if `key` is undefined. */
export class Caller extends Context.Service<Caller, { readonly key: ApiKey | undefined }>()(
  "rbee/daemon/Caller"
) {}
