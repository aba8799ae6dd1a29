import * as Command from "effect/cli/Command"
import * as Flag from "effect/cli/Flag"
import * as Effect from "effect/Effect"
import { host, port } from "../flags.ts"
import { Output } from "../Output.ts"
import { SharedFlags } from "../SharedFlags.ts"
import { overridesOf } from "../overrides.ts"

const id = Flag.String("hive-id").pipe(Flag.withDescription("The name of this hive"), Flag.optional)
const queenUrl = Flag.String("queen-url").pipe(
  Flag.withDescription("The queen that gets this hive's heartbeats"),
  Flag.optional
)

export const hiveServe = Command.make(
  "serve",
  { host, port, id, queenUrl },
  Effect.fnUntraced(function* (typed) {
    const { tokenFile } = yield* SharedFlags
    const output = yield* Output
    // Loaded only here: every other command starts without the daemon's code.
    const { serve } = yield* Effect.promise(() => import("../../job/Daemon.ts"))
    const { Hive } = yield* Effect.promise(() => import("../../hive/Hive.ts"))
    const overrides = overridesOf({
      "hive.host": typed.host,
      "hive.port": typed.port,
      "hive.id": typed.id,
      "hive.queen_url": typed.queenUrl
    })
    yield* serve(Hive.layerWith(overrides, tokenFile), (url) => output.note(`The hive listens on ${url}`))
  })
).pipe(
  Command.withDescription("Run a hive in the foreground, until it is stopped"),
  Command.withExamples([
    { command: "rbee hive serve --hive-id atlas --port 8081 --queen-url http://192.168.1.10:8500" }
  ])
)
