import * as Argument from "effect/cli/Argument"

/** The name of a hive on another machine. */
export const alias = Argument.String("alias").pipe(Argument.withDescription("Hive name in hives.conf"))

/** The name of a hive; default: this machine's. */
export const aliasOrLocalhost = Argument.String("alias").pipe(
  Argument.withDescription("Hive name (default: localhost)"),
  Argument.withDefault("localhost")
)
