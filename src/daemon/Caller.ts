import * as Context from "effect/Context"
import type { ApiKey } from "../access/ApiKey.ts"

/** The sender of a request: the holder of an API key, or, where `key` is undefined, a sender who may do everything. */
export class Caller extends Context.Service<Caller, { readonly key: ApiKey | undefined }>()(
  "rbee/daemon/Caller"
) {}
