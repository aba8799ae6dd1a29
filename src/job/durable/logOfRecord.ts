import type { JobFacts } from "../JobFacts.ts"
import { JobEvent } from "../log/JobEvent.ts"
import { MemoryLog } from "../log/MemoryLog.ts"

/** The end event that the facts of an ended job imply. */
const endEventOf = ({ createdAt, endedAt = createdAt, error, startedAt = endedAt, state }: JobFacts) => {
  if (error !== undefined) return JobEvent.failed(error)
  if (state === "cancelled") return JobEvent.cancelled(false)
  return JobEvent.done({ queued_ms: startedAt - createdAt, run_ms: endedAt - startedAt })
}

/** The log of an ended job; without its events, which were dropped, only the end event, which every follower gets. */
export const logOfRecord = (facts: JobFacts, bytes: Buffer | undefined) => {
  if (bytes !== undefined) return MemoryLog.ended(bytes)
  const log = new MemoryLog(Number.MAX_SAFE_INTEGER)
  const { json, kind } = endEventOf(facts)
  log.restore([{ id: Number.MAX_SAFE_INTEGER, kind, json }])
  return log
}
