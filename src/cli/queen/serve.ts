import * as Command from "effect/cli/Command"
import * as Effect from "effect/Effect"
import { surviveClosedOutput } from "../daemonOutput.ts"
import { host, port } from "../flags.ts"
import { Output } from "../Output.ts"
import { overridesOf } from "../overrides.ts"
import { SharedFlags } from "../SharedFlags.ts"

export const queenServe = Command.make(
  "serve",
  { host, port: port(8500) },
  Effect.fnUntraced(function* (args) {
    const { tokenFile } = yield* SharedFlags
    const output = yield* Output
    // Imported lazily, so that other commands start without loading the daemon.
    const { serve } = yield* Effect.promise(() => import("../../daemon/Daemon.ts"))
    const { Queen } = yield* Effect.promise(() => import("../../queen/Queen.ts"))
    const overrides = overridesOf({ "queen.host": args.host, "queen.port": args.port })
    yield* surviveClosedOutput
    yield* serve(Queen.layerWith(overrides, tokenFile), (url) => output.note(`The queen listens on ${url}`))
  })
).pipe(
  Command.withDescription("Run the queen in the foreground"),
  Command.withExamples([{ command: "rbee queen serve --port 8500" }])
)
