import * as Command from "effect/cli/Command"
import * as Effect from "effect/Effect"
import { serve } from "../../job/Daemon.ts"
import { Queen } from "../../queen/Queen.ts"
import { host, port } from "../flags.ts"
import { SharedFlags } from "../SharedFlags.ts"
import { overridesOf } from "../overrides.ts"

export const queenServe = Command.make(
  "serve",
  { host, port },
  Effect.fnUntraced(function* (typed) {
    const { tokenFile } = yield* SharedFlags
    yield* serve(
      Queen.layerWith(overridesOf({ "queen.host": typed.host, "queen.port": typed.port }), tokenFile)
    )
  })
).pipe(
  Command.withDescription("Run the queen in the foreground, until it is stopped"),
  Command.withExamples([{ command: "rbee queen serve --port 8500" }])
)
