import * as Flag from "effect/cli/Flag"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import { OwnHiveId } from "../operation/fields.ts"
import { BadInput } from "./errors.ts"

/** `--hive-id` of an operation on a hive. */
export const hiveId = Flag.String("hive-id").pipe(
  Flag.withDescription("Hive id (default: localhost)"),
  Flag.withDefault("localhost")
)

/** `--hive-id` of an operation that accepts `auto`. */
export const hiveIdOrAuto = Flag.String("hive-id").pipe(
  Flag.withDescription("Hive id, or auto to let the queen choose (default: localhost)"),
  Flag.withDefault("localhost")
)

/** `--hive-id` of a hive on this machine. */
export const ownHiveId = (description: string) =>
  Flag.String("hive-id").pipe(Flag.withDescription(description), Flag.optional)

const isOwnHiveId = Schema.is(OwnHiveId)

/** Fails if the value of `--hive-id` cannot be the id of a hive. */
export const checkHiveId = (id: Option.Option<string>) =>
  Option.isNone(id) || isOwnHiveId(id.value)
    ? Effect.void
    : Effect.fail(
        new BadInput({
          message: `Invalid --hive-id '${id.value}': expected 1 to 128 letters, digits, '.', '_' or '-', and not 'auto'`
        })
      )

/** `--model`. */
export const model = Flag.String("model").pipe(
  Flag.withDescription("Model id, such as rbee:tiny or file:/path/to/model.gguf (required)")
)

/** `--host` of a daemon. */
export const host = Flag.String("host").pipe(
  Flag.withDescription("Address to listen on (default: the setting, 127.0.0.1)"),
  Flag.optional
)

/** `--port` of a daemon. */
export const port = (usual: number) =>
  Flag.Int("port").pipe(
    Flag.withDescription(`Port to listen on (default: the setting, ${usual})`),
    Flag.optional
  )
