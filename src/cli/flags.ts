import * as Flag from "effect/cli/Flag"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import { OwnHiveId } from "../operation/fields.ts"
import { BadInput } from "./errors.ts"

/** `--hive-id`, for everything that runs on a hive. */
export const hiveId = Flag.String("hive-id").pipe(
  Flag.withDescription("The hive: localhost, a name from hives.conf or a heartbeat, or auto"),
  Flag.withDefault("localhost")
)

/** `--hive-id` of a hive on this machine. */
export const ownHiveId = (description: string) =>
  Flag.String("hive-id").pipe(Flag.withDescription(description), Flag.optional)

const isOwnHiveId = Schema.is(OwnHiveId)

/** Fails when what was typed cannot be the id of a hive. */
export const checkHiveId = (typed: Option.Option<string>) =>
  Option.isNone(typed) || isOwnHiveId(typed.value)
    ? Effect.void
    : Effect.fail(
        new BadInput({
          message: `Invalid --hive-id '${typed.value}': a hive id has 1 to 128 letters, digits, '.', '_' and '-', and is not 'auto'`
        })
      )

/** `--model`. */
export const model = Flag.String("model").pipe(
  Flag.withDescription("The model, such as rbee:tiny or file:/path/to/model.gguf")
)

/** `--host` of a daemon. */
export const host = Flag.String("host").pipe(Flag.withDescription("The address to listen on"), Flag.optional)

/** `--port` of a daemon. */
export const port = Flag.Int("port").pipe(Flag.withDescription("The port to listen on"), Flag.optional)
