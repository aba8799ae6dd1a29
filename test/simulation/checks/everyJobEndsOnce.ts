import { isEnd } from "../../../src/job/log/JobEvent.ts"
import type { EndedJob } from "../jobs/Daemon.ts"

const endOf = { completed: "done", failed: "failed", cancelled: "cancelled" } as const

/** A log has the ids from 1 without a gap, and exactly one end event, which comes last and says what the record says. */
export const everyJobEndsOnce = ({ daemon, events, record }: EndedJob) => {
  const name = `${record.job_id} of ${daemon}`
  const gap = events.findIndex(({ id }, index) => id !== index + 1)
  if (gap >= 0) return `${name} has event ${events[gap]?.id} in place ${gap + 1}`
  const ends = events.filter(({ kind }) => isEnd(kind))
  const last = events.at(-1)
  if (ends.length !== 1 || last === undefined || !isEnd(last.kind)) {
    return `${name} has ${ends.length} end events, and ends with ${last?.kind}`
  }
  const { state } = record
  if (state === "queued" || state === "running") return `${name} has ended and is ${state}`
  return last.kind === endOf[state] ? undefined : `${name} is ${state} and ends with ${last.kind}`
}
