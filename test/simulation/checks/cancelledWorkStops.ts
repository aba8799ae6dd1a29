import { Option } from "effect"
import { readCancelled } from "../../../src/job/log/JobEvent.ts"
import type { EndedJob } from "../jobs/Daemon.ts"
import type { Execution } from "../jobs/Executions.ts"
import type { Plan } from "../jobs/plans.ts"

/**
 * When a job is cancelled and its end says that this was confirmed, its work has stopped. Otherwise a hive stops work that
 * is for its followers only when they have been away for its grace period, in milliseconds. Where the answer to a first
 * submission was lost and the request was repeated, this is about the job of which the queen knows.
 */
export const cancelledWorkStops = (
  plan: Plan,
  executions: ReadonlyArray<Execution>,
  { events, record }: EndedJob,
  grace: number
) => {
  if (record.state !== "cancelled" || record.ended_at === undefined) return undefined
  const end = Date.parse(record.ended_at)
  const { confirmed } = Option.getOrElse(readCancelled(events.at(-1)?.json ?? ""), () => ({
    confirmed: false
  }))
  const patience =
    confirmed === true ? 0 : plan.routing.whenAbandoned === "cancel" ? grace : Number.POSITIVE_INFINITY
  const isKnown = ({ jobId }: Execution) => record.hive_job_id === undefined || jobId === record.hive_job_id
  for (const { endedAt = Number.POSITIVE_INFINITY } of executions.filter(isKnown)) {
    if (endedAt > end + patience) {
      return `${plan.id} was cancelled at ${end} (confirmed: ${confirmed}) and its work went on until ${endedAt}`
    }
  }
  return undefined
}
