import type * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import { enforceDeadlines } from "../../http/deadlines.ts"
import { acquireRelease, addFinalizer } from "../../http/scopeFinalizers.ts"
import { isPeerError, type PeerError, reasonText } from "../../job/client/clientErrors.ts"
import type { FollowOptions } from "../../job/client/followJob.ts"
import type { JobsClient, StartedJob } from "../../job/client/JobsClient.ts"
import type { Peer } from "../../job/client/Peer.ts"
import { endError } from "../../job/endError.ts"
import type { RemoteHandle, RunningJob } from "../../job/Submission.ts"
import type { Settings } from "../../settings/Settings.ts"
import { ConnectionFailed, type ForwardError } from "./errors.ts"
import type { Forwarded, TakeEvents } from "./Forwarded.ts"
import { fromPeer } from "./fromPeer.ts"
import type { HiveDirectory } from "./HiveDirectory.ts"
import type { HiveJobs } from "./HiveJobs.ts"
import type { LostStreams } from "./LostStreams.ts"
import { StreamActivity } from "./StreamActivity.ts"
import { StreamSpans } from "./StreamSpans.ts"

/** The services of a forwarder that its attempts use. */
export interface AttemptServices {
  readonly client: JobsClient["Service"]
  readonly clock: Clock.Clock
  readonly directory: HiveDirectory["Service"]
  readonly jobs: HiveJobs
  readonly lostStreams: LostStreams
  readonly timeouts: Settings["Service"]["timeouts"]
}

/** A job of the hive; `events` reads the response to its submission. */
interface HiveJob {
  readonly jobId: string
  readonly events: StartedJob["events"] | undefined
}

/** One attempt to have a hive do a request: submits the job, relays its events, and cancels it when the attempt is left. */
export class ForwardAttempt {
  readonly #services: AttemptServices
  readonly #request: Forwarded
  readonly #activity: StreamActivity
  #hasEnded = false
  #spans: StreamSpans | undefined
  /** A cancel of the queen's job asks the hive, and reports whether it confirmed. */
  #isStopping = false
  #remote: RemoteHandle | undefined

  constructor(services: AttemptServices, request: Forwarded) {
    this.#services = services
    this.#request = request
    this.#activity = new StreamActivity(request.hiveId, services.clock)
  }

  /** Runs the attempt once; succeeds when the hive's job is done, and fails as the job failed. */
  static readonly run = Effect.fnUntraced(function* <E>(attempt: ForwardAttempt, take: TakeEvents<E>) {
    const { clock, directory, timeouts } = attempt.#services
    const { hiveId, job } = attempt.#request
    const hive = yield* directory.find(hiveId)
    const started = yield* attempt.#submit(hive)
    if (job !== undefined) yield* attempt.#register(job, hive, started.jobId)
    yield* attempt.#forgetLostStream
    attempt.#activity.receivedBytes()
    attempt.#spans = yield* StreamSpans.start(clock)
    const end = yield* Effect.raceFirst(
      attempt.#follow(hive, started, take),
      enforceDeadlines(attempt.#activity.deadlines(timeouts))
    )
    attempt.#hasEnded = true
    const error = endError(end)
    if (error !== undefined) return yield* error
  }, Effect.scoped)

  /** Whether the error is worth another attempt. A hive that refuses once refuses again, and no event may be relayed twice. */
  canRepeatAfter(error: unknown) {
    return error instanceof ConnectionFailed && error.reason === "reset" && !this.#activity.hasEvents
  }

  get #isAway() {
    return this.#services.directory.isLost(this.#request.hiveId)
  }

  /** Whether the hive's job continues when this attempt is left. */
  get #isLeft() {
    return (this.#request.isLeftRunning ?? this.#remote?.isLeftRunning)?.() === true
  }

  /** Submits the job, or takes over the resumed one, until the scope closes. */
  #submit(hive: Peer): Effect.Effect<HiveJob, ForwardError, Scope.Scope> {
    const { resumed } = this.#request
    if (resumed !== undefined) {
      const { jobId } = resumed
      return Effect.as(
        addFinalizer(() => this.#leave(hive, jobId)),
        { jobId, events: undefined }
      )
    }
    const isAway = () => this.#isAway
    const isLeft = () => this.#isLeft
    const unconfirmed = this.#unconfirmed
    return acquireRelease(
      Effect.mapError(
        this.#services.jobs.submit(hive, this.#request.json, { isAway, isLeft, unconfirmed }),
        this.#toForwardError
      ),
      ({ jobId }) => this.#leave(hive, jobId),
      { interruptible: true }
    )
  }

  /** Cancels the hive's job if it has not ended and nobody else needs it; the queen's job learns if the hive does not confirm that. */
  #leave(hive: Peer, jobId: string) {
    if (this.#hasEnded || this.#isLeft) return Effect.void
    const { isBroken, isOverdue } = this.#activity
    if (isBroken && this.#request.routing.whenAbandoned === "continue") return Effect.void
    return Effect.map(
      this.#services.jobs.cancel(hive, jobId, isOverdue || isBroken || this.#isAway),
      (isStopped) => {
        if (!isStopped && !this.#isStopping) this.#remote?.unconfirmed()
      }
    )
  }

  /** Tells the queen's job that the hive, which was asked for a job, may continue with it. */
  get #unconfirmed() {
    const { job } = this.#request
    return job === undefined
      ? Effect.void
      : Effect.scoped(Effect.suspend(() => Effect.map(job.runsAt({}), (remote) => remote.unconfirmed())))
  }

  /** Connects the queen's job with the hive's, so that a cancel of the one reaches the other. */
  #register(job: RunningJob, hive: Peer, jobId: string) {
    const stop = Effect.suspend(() => {
      this.#isStopping = true
      return Effect.tap(this.#services.jobs.stop(hive, jobId, this.#activity), (isConfirmed) =>
        Effect.sync(() => isConfirmed || this.#remote?.unconfirmed())
      )
    })
    const registered = job.runsAt({ hiveJob: { hiveId: this.#request.hiveId, jobId }, stop })
    return Effect.map(registered, (remote) => {
      this.#remote = remote
    })
  }

  get #forgetLostStream() {
    return addFinalizer(() =>
      this.#activity.isBroken ? this.#services.lostStreams.abandoned(this.#request.hiveId) : Effect.void
    )
  }

  /** Relays the events of the hive's job; returns its end event. */
  #follow<E>(hive: Peer, { events, jobId }: HiveJob, take: TakeEvents<E>) {
    const following = this.#services.client.follow(hive, jobId, this.#followOptions(events, take))
    return Effect.mapError(following, (error) => (isPeerError(error) ? this.#toForwardError(error) : error))
  }

  #followOptions<E>(events: HiveJob["events"], take: TakeEvents<E>): FollowOptions<E> {
    const { directory, lostStreams } = this.#services
    const { canMove, hiveId, routing } = this.#request
    const activity = this.#activity
    return {
      events,
      after: this.#request.resumed?.after,
      isKnown: true,
      canMove: canMove ?? (() => routing.repeatable),
      onBytes: () => {
        activity.receivedBytes()
        directory.markAlive(hiveId)
      },
      onLost: (error) => {
        activity.connectionLost()
        return lostStreams.lost(hiveId, error.message)
      },
      onResumed: Effect.suspend(() => {
        activity.connectionResumed()
        return lostStreams.resumed(hiveId)
      }),
      take: (batch) => {
        activity.hasEvents = true
        return this.#spans === undefined
          ? take(batch)
          : Effect.andThen(this.#spans.observe(batch), take(batch))
      }
    }
  }

  /** Maps an error of the client, and reports the hive as unreachable if no connection to it can be made. */
  readonly #toForwardError = (error: PeerError) => {
    const hive = this.#request.hiveId
    // A connection that broke may have been the only broken one.
    if (error._tag === "PeerUnreachable" && error.reason !== "reset" && error.reason !== "restarted") {
      this.#services.directory.markUnreachable(hive, reasonText[error.reason])
    }
    return fromPeer(hive)(error)
  }
}
