import * as Context from "effect/Context"
import type * as Option from "effect/Option"

/** The flags of every command. */
export class SharedFlags extends Context.Service<
  SharedFlags,
  {
    readonly queen: Option.Option<string>
    readonly json: boolean
    readonly tokenFile: string | undefined
  }
>()("rbee/cli/SharedFlags") {}
