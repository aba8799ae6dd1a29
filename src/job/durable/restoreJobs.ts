import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import type { JobRows } from "../../store/JobRows.ts"
import { type JobFacts } from "../JobFacts.ts"
import type { RestoredJob } from "../JobStore.ts"
import type { EventBlock } from "../log/EventBlock.ts"
import { isEnd, type LoggedEvent, readFailure } from "../log/JobEvent.ts"
import { factsOf } from "./jobRow.ts"
import type { LiveJob, LiveJobs } from "./LiveJobs.ts"
import type { RecoveredJob } from "./recoverJournal.ts"

/** The events of blocks that may repeat one another, in order. */
function* eventsOf(blocks: ReadonlyArray<EventBlock>): Generator<LoggedEvent, void> {
  let last = 0
  for (const block of blocks.toSorted((left, right) => left.lastId - right.lastId)) {
    for (const event of block.events(last)) yield event
    last = Math.max(last, block.lastId)
  }
}

/** The facts of a job whose process was killed between its end event and the record of it. */
const endedFacts = (facts: JobFacts, end: LoggedEvent, endedAt: number): JobFacts => {
  if (end.kind === "done") return { ...facts, state: "completed", endedAt }
  if (end.kind === "cancelled") return { ...facts, state: "cancelled", endedAt }
  const error = Option.getOrUndefined(readFailure(end.json))?.error
  return { ...facts, state: "failed", endedAt, error }
}

/** Restores the jobs that an earlier process left, and returns those that are unfinished. */
export const restoreJobs = Effect.fnUntraced(function* (options: {
  readonly rows: JobRows
  readonly recovered: ReadonlyMap<number, RecoveredJob>
  readonly live: LiveJobs
  readonly logBytes: number
}) {
  const { live, logBytes, recovered, rows } = options
  const now = yield* Clock.currentTimeMillis
  const restored: Array<RestoredJob> = []
  const adopted: Array<LiveJob> = []
  for (const [seq, { blocks, key, row }] of recovered) {
    // The process was killed before the journal noted that the job is stored.
    if (row === undefined || Option.isSome(yield* rows.find(row.id))) continue
    const job = live.add(row.id, logBytes, seq)
    const stored = factsOf(row)
    job.log.restore(eventsOf(blocks), stored.plan?.ownEvents)
    const last = (yield* job.log.all).at(-1)
    const facts =
      last !== undefined && isEnd(last.kind) && stored.endedAt === undefined
        ? endedFacts(stored, last, now)
        : stored
    adopted.push(job)
    live.save(facts, key)
    if (facts.endedAt === undefined) restored.push({ facts, log: job.log, key })
  }
  live.rewrite(adopted)
  return restored
})
