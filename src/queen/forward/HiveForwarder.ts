import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Queue from "effect/Queue"
import * as Schedule from "effect/Schedule"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import { enforceDeadlines } from "../../http/deadlines.ts"
import { hivePool } from "../../http/hivePool.ts"
import { acquireRelease, addFinalizer } from "../../http/scopeFinalizers.ts"
import { isPeerError, type PeerError, reasonText } from "../../job/client/clientErrors.ts"
import { JobsClient } from "../../job/client/JobsClient.ts"
import { endError } from "../../job/endError.ts"
import { JobEvent } from "../../job/log/JobEvent.ts"
import type { RemoteHandle, RunningJob } from "../../job/Submission.ts"
import { hiveId, Operation, operationName } from "../../operation/Operation.ts"
import type { Routing } from "../../operation/Routing.ts"
import { Settings } from "../../settings/Settings.ts"
import { ConnectionFailed, type ForwardError } from "./errors.ts"
import { fromPeer } from "./fromPeer.ts"
import { HiveDirectory } from "./HiveDirectory.ts"
import { HiveJobs } from "./HiveJobs.ts"
import { LostStreams } from "./LostStreams.ts"
import { StreamActivity } from "./StreamActivity.ts"

/** What an interrupt of the forwarding does to the hive's job. */
export interface LeavingOptions {
  /** Whether the hive is to continue when the forwarding is interrupted; absent: the queen's job decides, without one it is cancelled. */
  readonly isLeftRunning?: (() => boolean) | undefined
}

/** A request for a hive, as text. */
export interface Forwarded extends LeavingOptions {
  readonly operation: string
  readonly hiveId: string
  /** The JSON that the hive receives. */
  readonly json: string
  readonly routing: Routing
  /** Whether the caller can do the work on another hive now, should this one be gone. Absent: if it is repeatable. */
  readonly canMove?: (() => boolean) | undefined
  /** The queen's job whose work this is, if any. */
  readonly job?: RunningJob | undefined
}

/** Forwards operations to hives and relays their events. */
export class HiveForwarder extends Context.Service<
  HiveForwarder,
  {
    /**
     * Runs the operation on the hive that it names. The events have the hive's order and ids. The hive's end event is not
     * among them: the stream ends, or fails as the hive's job failed. Leaving the stream cancels the hive's job, unless
     * it is to be left running. A connection that breaks is resumed for up to `timeouts.reconnect`, while the hive's job
     * continues; if that fails, only work that no one else needs, such as an answer, is cancelled.
     */
    readonly forward: (
      operation: Operation,
      options?: LeavingOptions
    ) => Stream.Stream<JobEvent, ForwardError>
    /**
     * The same for a request as text, which is sent unchanged, also for operations that this process does not know. Emits
     * the events batch by batch and succeeds at the end of the hive's job.
     */
    readonly forwardJson: <E>(
      request: Forwarded,
      emit: (events: ReadonlyArray<JobEvent>) => Effect.Effect<void, E>
    ) => Effect.Effect<void, ForwardError | E>
  }
>()("rbee/queen/forward/HiveForwarder") {
  static readonly layerNoDeps = Layer.effect(
    HiveForwarder,
    Effect.suspend(() => make)
  ).pipe(Layer.provide(JobsClient.layerNoDeps))

  /** With its own connection pool. */
  static readonly layer = this.layerNoDeps.pipe(Layer.provide(hivePool))
}

const retries = 2
const retryPause = Schedule.spaced("100 millis")

const encode = Schema.encodeSync(Schema.fromJsonString(Operation))

const forwardStart = ({ hiveId, job, operation }: Forwarded) =>
  JobEvent.narration(
    "qn-fwd",
    "forward_start",
    `Forwarding ${operation} operation to hive '${hiveId}'`,
    job?.id
  )

/** The request of an operation, as text. */
const toRequest = (operation: Operation, options: LeavingOptions): Forwarded => {
  const name = operationName(operation)
  return {
    operation: name,
    hiveId: hiveId(operation) ?? "localhost",
    json: encode(operation),
    routing: Operation.cases[name].routing,
    ...options
  }
}

const isReset = (error: unknown) => error instanceof ConnectionFailed && error.reason === "reset"

const make = Effect.gen(function* () {
  const directory = yield* HiveDirectory
  const client = yield* JobsClient
  const { timeouts } = yield* Settings
  const clock = yield* Clock.Clock
  const jobs = new HiveJobs(client, clock)
  const lostStreams = new LostStreams()

  /** Maps an error of the client, and reports the hive as unreachable if no connection to it can be made. */
  const toForwardError = (hive: string) => (error: PeerError) => {
    // A connection that broke may have been the only broken one.
    if (error._tag === "PeerUnreachable" && error.reason !== "reset" && error.reason !== "restarted") {
      directory.markUnreachable(hive, reasonText[error.reason])
    }
    return fromPeer(hive)(error)
  }

  /** Submits the request once, and relays the events of its job. */
  const attempt = Effect.fnUntraced(function* <E>(
    request: Forwarded,
    activity: StreamActivity,
    emit: (events: ReadonlyArray<JobEvent>) => Effect.Effect<void, E>
  ) {
    const { job, json, routing } = request
    const name = request.hiveId
    const hive = yield* directory.find(name)
    let hasEnded = false
    let remote: RemoteHandle | undefined
    const isAway = () => directory.isLost(name)
    const isLeft = () => (request.isLeftRunning ?? remote?.isLeftRunning)?.() === true
    const submitting = Effect.mapError(jobs.submit(hive, json, { isAway, isLeft }), toForwardError(name))
    const { events, jobId } = yield* acquireRelease(
      submitting,
      ({ jobId }) => {
        if (hasEnded || isLeft()) return Effect.void
        if (activity.isBroken && routing.whenAbandoned === "continue") return Effect.void
        return jobs.cancel(hive, jobId, activity.isOverdue || activity.isBroken || isAway())
      },
      { interruptible: true }
    )
    if (job !== undefined) {
      const stop = Effect.tap(jobs.stop(hive, jobId, activity), (isConfirmed) =>
        Effect.sync(() => isConfirmed || remote?.unconfirmed())
      )
      remote = yield* job.runsAt({ hiveJob: { hiveId: name, jobId }, stop })
    }
    yield* addFinalizer(() => (activity.isBroken ? lostStreams.abandoned(name) : Effect.void))

    activity.receivedBytes()
    const following = client.follow(hive, jobId, {
      events,
      isKnown: true,
      canMove: request.canMove ?? (() => routing.repeatable),
      onBytes: () => {
        activity.receivedBytes()
        directory.markAlive(name)
      },
      onLost: (error) => {
        activity.connectionLost()
        return lostStreams.lost(name, error.message)
      },
      onResumed: Effect.suspend(() => {
        activity.connectionResumed()
        return lostStreams.resumed(name)
      }),
      take: (batch) => {
        activity.hasEvents = true
        return emit(batch)
      }
    })
    const end = yield* Effect.raceFirst(
      Effect.mapError(following, (error) => (isPeerError(error) ? toForwardError(name)(error) : error)),
      enforceDeadlines(activity.deadlines(timeouts))
    )
    hasEnded = true
    const error = endError(end)
    if (error !== undefined) return yield* error
  }, Effect.scoped)

  const forwardJson = <E>(
    request: Forwarded,
    emit: (events: ReadonlyArray<JobEvent>) => Effect.Effect<void, E>
  ): Effect.Effect<void, ForwardError | E> =>
    Effect.suspend(() => {
      let activity: StreamActivity
      const once = Effect.suspend(() => {
        activity = new StreamActivity(request.hiveId, clock)
        return attempt(request, activity, emit)
      })
      // Only a broken connection is worth a retry: a hive that refuses once refuses again.
      const relay = request.routing.repeatable
        ? Effect.retry(once, {
            times: retries,
            schedule: retryPause,
            while: (error) => isReset(error) && !activity.hasEvents
          })
        : once
      return Effect.andThen(emit([forwardStart(request)]), relay)
    })

  return HiveForwarder.of({
    forward: (operation, options = {}) =>
      Stream.callback((queue) =>
        Effect.andThen(
          forwardJson(toRequest(operation, options), (events) =>
            Effect.asVoid(Queue.offerAll(queue, events))
          ),
          Queue.end(queue)
        )
      ),
    forwardJson
  })
})
