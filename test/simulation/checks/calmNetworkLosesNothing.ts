import type { EndedJob } from "../jobs/Daemon.ts"
import type { Plan } from "../jobs/plans.ts"

/** Without faults, a job that nobody cancels or leaves ends as its work does, unless a limit of the settings ends it. */
export const calmNetworkLosesNothing = (plan: Plan, { record }: EndedJob) => {
  const expected = plan.ends === "well" ? "completed" : "failed"
  if (record.state === expected && (expected === "completed" || record.error?.code === "EndedBadly"))
    return undefined
  const message = record.error?.message ?? ""
  // Work may take longer than the limit that the queen sets for it.
  if (message.includes("limits.jobs_queued") || message.includes("timeouts.total")) return undefined
  return `${plan.id} (${plan.operation}) is ${record.state}, ${record.error?.message}`
}
