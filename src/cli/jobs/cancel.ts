import * as Command from "effect/cli/Command"
import * as Effect from "effect/Effect"
import { DaemonClient } from "../../daemon/DaemonClient.ts"
import { Connection } from "../Connection.ts"
import { Output } from "../Output.ts"
import { jobId } from "./jobId.ts"

export const jobsCancel = Command.make(
  "cancel",
  { id: jobId },
  Effect.fnUntraced(function* ({ id }) {
    const daemons = yield* DaemonClient
    const queen = yield* (yield* Connection).queen
    yield* daemons.cancel(queen, id)
    yield* (yield* Output).answer({ job_id: id, status: "cancelled" })
  })
).pipe(
  Command.withDescription("Cancel a job; returns when the work has stopped"),
  Command.withExamples([{ command: "rbee jobs cancel job-5d0c9c1e-6d6b-4a55-8f37-0d3f3f6a8a11" }])
)
