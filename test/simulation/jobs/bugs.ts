import { Effect, Fiber } from "effect"
import { JobEvent } from "../../../src/job/log/JobEvent.ts"
import { MemoryLog } from "../../../src/job/log/MemoryLog.ts"
import type { Work } from "../../../src/job/Submission.ts"
import type { Bug } from "./Fleet.ts"

/** A log that writes its end twice. */
class EndsTwice extends MemoryLog {
  override end(event: JobEvent) {
    return Effect.andThen(Effect.ignore(this.append([event])), super.end(event))
  }
}

/** A log that has two events with one number missing between them. */
class SkipsNumbers extends MemoryLog {
  override end(event: JobEvent) {
    return super.end(new JobEvent(event.kind, event.json, this.lastId() + 2))
  }
}

class Unforeseen {
  readonly _tag = "Unforeseen"
  readonly message = "this was not planned"
}

const withoutEmoji =
  (work: Work): Work =>
  (job, emit) =>
    work(job, (events) => emit(events.filter(({ json }) => !json.includes("🐝"))))

const twice =
  (work: Work): Work =>
  (job, emit) =>
    work(job, (events) => emit(events.flatMap((event) => [event, event])))

const unstoppable =
  (work: Work): Work =>
  (job, emit) =>
    Effect.flatMap(Effect.forkDetach(work(job, emit)), Fiber.join)

const leaking =
  (work: Work): Work =>
  (job, emit) =>
    Effect.andThen(Effect.forkDetach(Effect.never), work(job, emit))

const failing =
  (work: Work): Work =>
  (job, emit) =>
    Effect.andThen(work(job, emit), Effect.fail(new Unforeseen()))

/** Bugs, with what the check that finds each says. */
export const bugs: Readonly<Record<string, readonly [bug: Bug, sentence: RegExp]>> = {
  "a log that ends twice": [
    { makeLog: (_, limit) => Effect.sync(() => new EndsTwice(limit)) },
    /has 2 end events/
  ],
  "a log that skips a number": [
    { makeLog: (_, limit) => Effect.sync(() => new SkipsNumbers(limit)) },
    /has event \d+ in place \d+/
  ],
  "a daemon that resumes one event too late": [
    { resumesAt: (after) => (after === 0 ? 0 : after + 1) },
    /a follower of job-\S+ got/
  ],
  "a hive that loses a part of a text": [{ hiveWork: withoutEmoji }, /completed with|has the text/],
  "a hive that says everything twice": [{ hiveWork: twice }, /completed with|has the text/],
  "a queen that repeats what it may not": [
    { queenRouting: (routing) => ({ ...routing, repeatable: true }) },
    /ran 2 times/
  ],
  "work that goes on after it was stopped": [{ hiveWork: unstoppable }, /its work went on until/],
  "an application that waits too long": [{ clientSubmit: 60_000 }, /(start|submit|cancel) r\d+ took \d+ ms/],
  "a fiber that stays": [{ hiveWork: leaking }, /before the first request there was/],
  "work that fails without a fault": [{ hiveWork: failing }, /this was not planned/]
}
