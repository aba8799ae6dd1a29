import type * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import type { PeerError } from "../../job/client/clientErrors.ts"
import type { JobsClient, StartedJob } from "../../job/client/JobsClient.ts"
import type { Peer } from "../../job/client/Peer.ts"
import type { StreamActivity } from "./StreamActivity.ts"

const cancelTimeout = "5 seconds"
const shortCancelTimeout = "1 second"
// A hive answers when the work has stopped. A healthy worker has 30 s for that; a hive that is away is not waited for.
const maxSilence = Duration.toMillis("10 seconds")
const maxStopTime = Duration.toMillis("40 seconds")
const stopPollInterval = "1 second"
const alreadyEnded = 409

const hasEnded = (error: PeerError) => error._tag === "PeerRefused" && error.status === alreadyEnded

/** Submits jobs to hives for one queen, and stops them. */
export class HiveJobs {
  readonly #client: JobsClient["Service"]
  readonly #clock: Clock.Clock
  readonly #queen = `queen-${crypto.randomUUID()}`

  constructor(client: JobsClient["Service"], clock: Clock.Clock) {
    this.#client = client
    this.#clock = clock
  }

  /**
   * Submits a job. A hive that received the request starts the job even if the submitter is interrupted before the
   * answer; that job is then cancelled, unless `isLeft`. An interrupt waits for this, shortly if the hive `isAway`.
   */
  readonly submit = Effect.fnUntraced(function* (
    this: HiveJobs,
    hive: Peer,
    json: string,
    { isAway, isLeft }: { readonly isAway: () => boolean; readonly isLeft: () => boolean }
  ): Effect.fn.Return<StartedJob, PeerError> {
    const submitting = yield* Effect.forkDetach(this.#client.start(hive, json, { queen: this.#queen }), {
      startImmediately: true
    })
    const undo = Effect.ignore(
      Effect.flatMap(Fiber.join(submitting), ({ jobId, leave }) =>
        isLeft() ? leave : Effect.andThen(this.cancel(hive, jobId), leave)
      )
    )
    return yield* Effect.onInterrupt(Fiber.join(submitting), () =>
      Effect.flatMap(Effect.forkDetach(undo), (undoing) =>
        Effect.timeoutOption(Fiber.await(undoing), isAway() ? shortCancelTimeout : cancelTimeout)
      )
    )
  })

  /** Cancels a job that the queen leaves, and waits for the answer for five seconds, or one if `isAway`. */
  cancel(hive: Peer, jobId: string, isAway = false) {
    return Effect.suspend(() =>
      this.#client
        .cancel(hive, jobId)
        .pipe(Effect.timeout(isAway ? shortCancelTimeout : cancelTimeout), Effect.ignore)
    )
  }

  /** Cancels a job whose stream is still read; gives whether the hive confirmed that the work has stopped. */
  stop(hive: Peer, jobId: string, activity: StreamActivity) {
    return Effect.raceFirst(
      this.#client.cancel(hive, jobId).pipe(
        Effect.as(true),
        Effect.catch((error) => Effect.succeed(hasEnded(error)))
      ),
      Effect.as(this.#stopDeadline(activity), false)
    )
  }

  /** Returns when the answer to a cancel is not waited for any longer. A live hive writes to its stream every second. */
  readonly #stopDeadline = Effect.fnUntraced(function* (this: HiveJobs, activity: StreamActivity) {
    const startedAt = this.#clock.currentTimeMillisUnsafe()
    yield* Effect.sleep(maxSilence)
    while (
      this.#clock.currentTimeMillisUnsafe() - startedAt < maxStopTime &&
      activity.silentFor(startedAt) < maxSilence
    ) {
      yield* Effect.sleep(stopPollInterval)
    }
  })
}
