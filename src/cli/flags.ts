import * as Flag from "effect/cli/Flag"
import { OwnHiveId } from "../operation/fields.ts"

/** `--hive-id`, for everything that runs on a hive. */
export const hiveId = Flag.String("hive-id").pipe(
  Flag.withDescription("The hive: localhost, a name from hives.conf or a heartbeat, or auto"),
  Flag.withDefault("localhost")
)

/** `--hive-id` of a hive on this machine. */
export const ownHiveId = (description: string) =>
  Flag.String("hive-id").pipe(Flag.withSchema(OwnHiveId), Flag.withDescription(description), Flag.optional)

/** `--model`. */
export const model = Flag.String("model").pipe(
  Flag.withDescription("The model, such as rbee:tiny or file:/path/to/model.gguf")
)

/** `--host` of a daemon. */
export const host = Flag.String("host").pipe(Flag.withDescription("The address to listen on"), Flag.optional)

/** `--port` of a daemon. */
export const port = Flag.Int("port").pipe(Flag.withDescription("The port to listen on"), Flag.optional)
