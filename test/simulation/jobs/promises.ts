import { calmNetworkLosesNothing } from "../checks/calmNetworkLosesNothing.ts"
import { cancelledWorkStops } from "../checks/cancelledWorkStops.ts"
import { everyJobEndsOnce } from "../checks/everyJobEndsOnce.ts"
import { followersSeeTheLog } from "../checks/followersSeeTheLog.ts"
import { nothingRemains } from "../checks/nothingRemains.ts"
import { textIsWhole } from "../checks/textIsWhole.ts"
import { waitsAreBounded } from "../checks/waitsAreBounded.ts"
import { workRunsOnce } from "../checks/workRunsOnce.ts"
import type { Follower, Wait } from "./Clients.ts"
import type { EndedJob } from "./Daemon.ts"
import { limits, queen } from "./Fleet.ts"
import type { Request, Story } from "./JobSimulation.ts"

const { firstEvent, graceRestart, reconnect, silence, submit, total } = limits
const slack = 2_000
const cancelOfHive = 5_000
const stopOfJob = 50_000
const maxAttempts = 3

/** How long the work of a queen's job may take: its attempts, of which only the last has events, and its cancel. */
const jobLimit = maxAttempts * (submit + firstEvent + reconnect + cancelOfHive) + total + stopOfJob + slack

const waitOfJob = ({ daemon, record }: EndedJob): Wait => {
  const endedAt = Date.parse(record.ended_at ?? "")
  return {
    what: `job ${record.job_id} (${record.operation}) of ${daemon}`,
    startedAt: record.started_at === undefined ? endedAt : Date.parse(record.started_at),
    endedAt,
    limit: jobLimit
  }
}

/** How long a server does not notice that a silent client is gone. */
const unnoticed = 8_000

/** How long a hive may continue work that nobody wants: until it notices, for its grace period, and until the work stops. */
const unwanted = unnoticed + graceRestart + slack

function* ofFollower({ calmAt }: Story, follower: Follower, job: EndedJob | undefined) {
  yield followersSeeTheLog(follower, job)
  const { endedAt, error, lastByteAt, plan, startedAt } = follower
  const limit = silence + reconnect + slack
  if (error !== undefined && error._tag !== "PeerRefused") {
    const from = Math.max(startedAt, lastByteAt)
    yield waitsAreBounded({
      what: `following ${plan.id} after the last byte`,
      startedAt: from,
      endedAt,
      limit
    })
  }
  if (job === undefined) return
  const from = Math.max(Date.parse(job.record.ended_at ?? ""), calmAt)
  const until = endedAt === undefined ? undefined : Math.max(from, endedAt)
  yield waitsAreBounded({
    what: `following ${plan.id} after the end`,
    startedAt: from,
    endedAt: until,
    limit
  })
}

function* ofRequest({ executions, isCalm, jobs }: Story, { behaviour, plan }: Request) {
  const runs = executions.of(plan)
  const job = jobs.find(({ daemon, record }) => daemon === queen && record.operation === plan.id)
  yield workRunsOnce(plan, runs, job)
  if (job === undefined) return
  yield waitsAreBounded(waitOfJob(job))
  yield textIsWhole(job, plan)
  yield cancelledWorkStops(plan, runs, job, unwanted)
  if (isCalm && behaviour !== "leaves" && behaviour !== "cancels") yield calmNetworkLosesNothing(plan, job)
}

function* sentences(story: Story) {
  const { after, before, clients, errors, fibersLeft, jobs, requests } = story
  const ofQueen = new Map(jobs.map((job) => [job.record.job_id, job]))
  for (const job of jobs) yield everyJobEndsOnce(job)
  for (const wait of clients.waits) yield waitsAreBounded(wait)
  for (const follower of clients.followers) yield* ofFollower(story, follower, ofQueen.get(follower.jobId))
  for (const request of requests) yield* ofRequest(story, request)
  yield nothingRemains(before, after)
  if (fibersLeft !== 0) yield `${fibersLeft} fibers are left when all daemons have stopped`
  if (errors[0] !== undefined) yield `an error was logged: ${errors[0]}`
}

/** What did not hold in a story: the first sentence, if any. */
export const brokenPromise = (story: Story) => {
  for (const sentence of sentences(story)) if (sentence !== undefined) return sentence
  return undefined
}
