import * as Argument from "effect/cli/Argument"

/** The name of a hive on another machine. */
export const alias = Argument.String("alias").pipe(Argument.withDescription("The hive's name in hives.conf"))

/** The name of a hive; this machine's when none is given. */
export const aliasOrLocalhost = Argument.String("alias").pipe(
  Argument.withDescription("The hive's name"),
  Argument.withDefault("localhost")
)
