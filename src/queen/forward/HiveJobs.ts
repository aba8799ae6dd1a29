import type * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Option from "effect/Option"
import type { DaemonClient } from "../../daemon/DaemonClient.ts"
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

/** Whether a submission failed in a way that leaves no job on the hive. */
const isWithoutJob = (error: PeerError) =>
  error._tag === "PeerRefused" || (error._tag === "PeerUnreachable" && error.reason !== "reset")

/** How a submission behaves when it is interrupted. */
interface SubmitOptions {
  readonly isAway: () => boolean
  readonly isLeft: () => boolean
  readonly unconfirmed: Effect.Effect<void>
}

type Canceller = Pick<DaemonClient["Service"], "cancel">

/** Submits jobs to hives for one queen, and stops them. */
export class HiveJobs {
  readonly #client: JobsClient["Service"]
  readonly #daemons: Canceller
  readonly #clock: Clock.Clock
  readonly #queen = `queen-${crypto.randomUUID()}`

  constructor(client: JobsClient["Service"], daemons: Canceller, clock: Clock.Clock) {
    this.#client = client
    this.#daemons = daemons
    this.#clock = clock
  }

  /**
   * Submits a job. A hive that received the request starts the job even if the submitter is interrupted before the
   * answer; that job is then cancelled, unless `isLeft`. An interrupt waits for this, shortly if the hive `isAway`, and
   * runs `unconfirmed` if the hive may continue with the job.
   */
  readonly submit = Effect.fnUntraced(function* (
    this: HiveJobs,
    hive: Peer,
    json: string,
    { isAway, isLeft, unconfirmed }: SubmitOptions
  ): Effect.fn.Return<StartedJob, PeerError> {
    const submitting = yield* Effect.forkDetach(this.#client.start(hive, json, { queen: this.#queen }), {
      startImmediately: true
    })
    const undo = Fiber.join(submitting).pipe(
      Effect.flatMap(({ jobId, leave }) =>
        isLeft() ? Effect.as(leave, true) : Effect.tap(this.cancel(hive, jobId), () => leave)
      ),
      Effect.catch((error) => Effect.succeed(isWithoutJob(error)))
    )
    return yield* Effect.onInterrupt(Fiber.join(submitting), () =>
      Effect.flatMap(Effect.forkDetach(undo), (undoing) =>
        Effect.timeoutOption(Fiber.join(undoing), isAway() ? shortCancelTimeout : cancelTimeout)
      ).pipe(
        Effect.flatMap((isStopped) => (Option.getOrElse(isStopped, () => false) ? Effect.void : unconfirmed))
      )
    )
  })

  /**
   * Cancels a job that the queen leaves, and waits for the answer for five seconds, or one if `isAway`. Returns whether the
   * hive confirmed that the work has stopped.
   */
  cancel(hive: Peer, jobId: string, isAway = false) {
    return Effect.map(
      Effect.timeoutOption(this.#cancelled(hive, jobId), isAway ? shortCancelTimeout : cancelTimeout),
      (isStopped) => Option.getOrElse(isStopped, () => false)
    )
  }

  /** Cancels a job; returns whether the hive confirmed that the work has stopped. */
  #cancelled(hive: Peer, jobId: string) {
    return this.#daemons.cancel(hive, jobId).pipe(
      Effect.as(true),
      Effect.catch((error) => Effect.succeed(hasEnded(error)))
    )
  }

  /** Cancels a job whose stream is still read; gives whether the hive confirmed that the work has stopped. */
  stop(hive: Peer, jobId: string, activity: StreamActivity) {
    return Effect.raceFirst(this.#cancelled(hive, jobId), Effect.as(this.#stopDeadline(activity), false))
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
