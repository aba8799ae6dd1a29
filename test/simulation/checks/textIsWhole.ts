import { Option } from "effect"
import { readText } from "../../../src/job/log/JobEvent.ts"
import type { EndedJob } from "../jobs/Daemon.ts"
import type { Plan } from "../jobs/plans.ts"

/** A job that completed has the whole text of the hive's work, and any other has its beginning. */
export const textIsWhole = ({ events, record }: EndedJob, plan: Plan) => {
  const text = events
    .filter(({ kind }) => kind === "token")
    .map(({ json }) => Option.match(readText(json), { onNone: () => "?", onSome: ({ text }) => text }))
    .join("")
  if (record.state === "completed" && text !== plan.text) {
    return `${plan.id} completed with ${JSON.stringify(text)} in place of ${JSON.stringify(plan.text)}`
  }
  return plan.text.startsWith(text) ? undefined : `${plan.id} has the text ${JSON.stringify(text)}`
}
