import * as Context from "effect/Context"
import type { ApiKey } from "../access/ApiKey.ts"

/** Who sent a request: the holder of an application's key, or, without one, somebody who may do everything. */
export interface Caller {
  readonly key: ApiKey | undefined
}

/** Who sent the request at hand. The guard says so for requests of applications. */
export const Caller = Context.Reference<Caller>("rbee/daemon/Caller", {
  defaultValue: () => ({ key: undefined })
})
