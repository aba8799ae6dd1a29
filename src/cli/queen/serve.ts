import * as Command from "effect/cli/Command"
import * as Effect from "effect/Effect"
import { host, port } from "../flags.ts"
import { SharedFlags } from "../SharedFlags.ts"
import { overridesOf } from "../overrides.ts"

export const queenServe = Command.make(
  "serve",
  { host, port },
  Effect.fnUntraced(function* (typed) {
    const { tokenFile } = yield* SharedFlags
    // Loaded only here: every other command starts without the daemon's code.
    const { serve } = yield* Effect.promise(() => import("../../job/Daemon.ts"))
    const { Queen } = yield* Effect.promise(() => import("../../queen/Queen.ts"))
    yield* serve(
      Queen.layerWith(overridesOf({ "queen.host": typed.host, "queen.port": typed.port }), tokenFile)
    )
  })
).pipe(
  Command.withDescription("Run the queen in the foreground, until it is stopped"),
  Command.withExamples([{ command: "rbee queen serve --port 8500" }])
)
