import * as Config from "effect/Config"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"

/** A variable of the environment; none when it is absent or empty. */
export const variable = Effect.fnUntraced(
  function* (name: string) {
    return yield* Config.option(Config.NonEmptyString(name))
  },
  Effect.orElseSucceed(() => Option.none<string>())
)
