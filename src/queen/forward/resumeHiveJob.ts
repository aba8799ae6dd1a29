import * as Effect from "effect/Effect"
import * as Schedule from "effect/Schedule"
import { JobCancelled } from "../../job/errors.ts"
import type { InterruptedJob } from "../../job/JobRecovery.ts"
import { JobEvent } from "../../job/log/JobEvent.ts"
import type { Work } from "../../job/Submission.ts"
import type { HiveForwarder } from "./HiveForwarder.ts"

// A hive that is not in hives.conf becomes known by its next heartbeat.
const untilKnown = Schedule.spaced("500 millis").pipe(Schedule.upTo({ times: 60 }))

/**
 * The work of a job that a hive continued while the queen was away: relays the hive's events that the queen's log lacks.
 * `undefined` if no hive does the work, or if more than one has given parts of the answer.
 */
export const resumeHiveJob = (
  forwarder: HiveForwarder["Service"],
  { facts: { operation, plan }, hiveJob }: InterruptedJob
): Work | undefined => {
  if (hiveJob === undefined || plan === undefined) return undefined
  const { after, hiveId, jobId } = hiveJob
  return (job, emit) => {
    let hasEvents = false
    const request = {
      operation,
      hiveId,
      json: "",
      routing: { ...plan, runsOn: "hive" as const },
      canMove: () => false,
      resumed: { jobId, after },
      job
    }
    const forwarding = forwarder.forwardJson(request, (events) => {
      hasEvents = true
      return emit(events)
    })
    const sentence = `Hive '${hiveId}' cancelled ${jobId}, because the queen was away for longer than limits.grace_restart`
    return forwarding.pipe(
      Effect.retry({ schedule: untilKnown, while: ({ _tag }) => _tag === "HiveNotFound" }),
      Effect.tapError((error) =>
        error instanceof JobCancelled && !hasEvents
          ? Effect.ignore(emit([JobEvent.narration("qn-fwd", "resume", sentence, job.id)]))
          : Effect.void
      )
    )
  }
}
