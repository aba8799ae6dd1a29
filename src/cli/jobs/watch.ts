import * as Command from "effect/cli/Command"
import { watchJob } from "../runJob.ts"
import { jobId } from "./jobId.ts"

export const jobsWatch = Command.make("watch", { id: jobId }, ({ id }) => watchJob(id)).pipe(
  Command.withDescription("Follow a job from start to end; disconnecting does not cancel it"),
  Command.withExamples([{ command: "rbee jobs watch job-5d0c9c1e-6d6b-4a55-8f37-0d3f3f6a8a11" }])
)
