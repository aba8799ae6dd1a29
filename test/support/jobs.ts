import { Effect, Stream } from "effect"
import type { OperationError } from "../../src/job/errors.ts"
import { Jobs } from "../../src/job/Jobs.ts"
import { batches } from "../../src/job/log/Follower.ts"
import { JobEvent } from "../../src/job/log/JobEvent.ts"
import { streamWork, type Submission } from "../../src/job/Submission.ts"
import { hiveCommand } from "../../src/operation/Routing.ts"

/** Work as a stream of its events. */
export type StreamWork = Parameters<typeof streamWork>[0]

/** A submission of the work as an operation that occupies a worker. */
export const submission = (work: StreamWork, more: Partial<Submission> = {}): Submission => ({
  operation: "test",
  routing: { ...hiveCommand, occupiesWorker: true },
  router: "test-rtr",
  work: streamWork(work),
  ...more
})

const noTicker = { onTick: () => () => {} }

/** The events of a job as they come; ends after the job's end. */
export const eventsOf = (id: string, after = 0) =>
  Stream.unwrap(
    Effect.map(
      Jobs.use((jobs) => Effect.orDie(jobs.follow(id))),
      ({ log }) =>
        Stream.flatMap(
          batches({ log, ticker: noTicker }, after, (events) => events),
          (events) => Stream.fromIterable(events)
        )
    )
  )

/** All events of a job, when it has ended. */
export const allOf = (id: string, after = 0) => Stream.runCollect(eventsOf(id, after))

/** Returns when the job has written so many events. */
export const written = (id: string, count: number) => Stream.runDrain(Stream.take(eventsOf(id), count))

/** The events of an answer of these pieces. */
export const tokens = (...texts: ReadonlyArray<string>) =>
  Stream.fromIterable(texts.map((text) => JobEvent.token(text)))

/** An error of an operation. */
export class Broken implements OperationError {
  readonly _tag = "Broken"
  readonly message: string
  constructor(message: string) {
    this.message = message
  }
}
