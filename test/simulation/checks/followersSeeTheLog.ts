import type { Follower } from "../jobs/Clients.ts"
import type { EndedJob } from "../jobs/Daemon.ts"

/**
 * A follower gets the events of the log from the first, each once, whatever became of its connections; one that got the end
 * has all of them. `job` is absent when the queen died before the job's end.
 */
export const followersSeeTheLog = ({ end, events, jobId }: Follower, job: EndedJob | undefined) => {
  const gap = events.findIndex(({ id }, index) => id !== index + 1)
  if (gap >= 0) return `a follower of ${jobId} got event ${events[gap]?.id} in place ${gap + 1}`
  if (job === undefined) return undefined
  const wrong = events.findIndex(({ json, kind }, index) => {
    const logged = job.events[index]
    return logged?.kind !== kind || logged.json !== json
  })
  if (wrong >= 0) return `a follower of ${jobId} got another event ${wrong + 1} than the log has`
  if (end === undefined) return undefined
  if (events.length !== job.events.length - 1) {
    return `a follower of ${jobId} got ${events.length} of ${job.events.length - 1} events before the end`
  }
  return end.json === job.events.at(-1)?.json
    ? undefined
    : `a follower of ${jobId} got another end than the log has`
}
