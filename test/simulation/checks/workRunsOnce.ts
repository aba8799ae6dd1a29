import type { EndedJob } from "../jobs/Daemon.ts"
import type { Execution } from "../jobs/Executions.ts"
import type { Plan } from "../jobs/plans.ts"

const maxAttempts = 3

/** Work runs again only when it is repeatable and the queen has seen nothing of the first time. */
export const workRunsOnce = (plan: Plan, executions: ReadonlyArray<Execution>, job: EndedJob | undefined) => {
  const times = executions.length
  if (times > 1 && !plan.routing.repeatable) return `${plan.id} (${plan.operation}) ran ${times} times`
  if (times > maxAttempts) return `${plan.id} (${plan.operation}) ran ${times} times`
  const seen = job?.events.filter(({ json }) => json.includes('"hv-router"')).length ?? 0
  return seen > 1 ? `${plan.id} ran again after events of its first time were seen` : undefined
}
