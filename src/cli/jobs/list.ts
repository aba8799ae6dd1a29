import * as Command from "effect/cli/Command"
import * as Effect from "effect/Effect"
import { DaemonClient } from "../../daemon/DaemonClient.ts"
import { Connection } from "../Connection.ts"
import { Output } from "../Output.ts"

export const jobsList = Command.make(
  "list",
  {},
  Effect.fnUntraced(function* () {
    const daemons = yield* DaemonClient
    const queen = yield* (yield* Connection).queen
    const jobs = yield* daemons.jobs(queen)
    yield* (yield* Output).answer({
      jobs: jobs.map(({ error, ...job }) => Object.assign(job, { error: error?.message ?? null }))
    })
  })
).pipe(
  Command.withDescription("List the jobs of the queen, newest first"),
  Command.withExamples([{ command: "rbee jobs list" }])
)
