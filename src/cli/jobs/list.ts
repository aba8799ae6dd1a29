import * as Command from "effect/cli/Command"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import { JobsClient } from "../../job/client/JobsClient.ts"
import { JobRecord } from "../../job/JobRecord.ts"
import { Connection } from "../Connection.ts"
import { Output } from "../Output.ts"

const Answer = Schema.Struct({ jobs: Schema.Array(JobRecord) })

export const jobsList = Command.make(
  "list",
  {},
  Effect.fnUntraced(function* () {
    const client = yield* JobsClient
    const queen = yield* (yield* Connection).queen
    const { jobs } = yield* client.get(queen, "/v1/jobs", Answer)
    yield* (yield* Output).answer({
      jobs: jobs.map(({ error, ...job }) => Object.assign(job, { error: error?.message ?? null }))
    })
  })
).pipe(
  Command.withDescription("List the jobs of the queen, newest first"),
  Command.withExamples([{ command: "rbee jobs list" }])
)
