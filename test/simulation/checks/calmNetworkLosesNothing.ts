import type { EndedJob } from "../jobs/Daemon.ts"
import type { Plan } from "../jobs/plans.ts"

/** Without faults, a job that nobody cancels or leaves ends as its work does; a queue that is full may refuse it. */
export const calmNetworkLosesNothing = (plan: Plan, { record }: EndedJob) => {
  const expected = plan.ends === "well" ? "completed" : "failed"
  if (record.state === expected && (expected === "completed" || record.error?.code === "EndedBadly"))
    return undefined
  if (record.error?.message.includes("limits.jobs_queued") === true) return undefined
  return `${plan.id} (${plan.operation}) is ${record.state}, ${record.error?.message}`
}
