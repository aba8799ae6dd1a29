import * as Arr from "effect/Array"
import * as Cause from "effect/Cause"
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import type * as Pull from "effect/Pull"
import * as Schema from "effect/Schema"
import * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import { enforceDeadlines } from "../../http/deadlines.ts"
import { fromScopedPull } from "../../http/fromScopedPull.ts"
import { hivePool } from "../../http/hivePool.ts"
import { acquireRelease, addFinalizer } from "../../http/scopeFinalizers.ts"
import { type PeerError, reasonText } from "../../job/client/clientErrors.ts"
import { JobsClient, type Peer, type StartedJob } from "../../job/client/JobsClient.ts"
import { makeResumedEvents } from "../../job/client/resumedEvents.ts"
import { JobCancelled, JobFailed } from "../../job/errors.ts"
import { JobEvent, readCancelled, readFailure } from "../../job/log/JobEvent.ts"
import type { RunningJob } from "../../job/Submission.ts"
import { hiveId, Operation, operationName } from "../../operation/Operation.ts"
import type { Routing } from "../../operation/Routing.ts"
import { Settings } from "../../settings/Settings.ts"
import { type ForwardError, HiveTimeout } from "./errors.ts"
import { fromPeer } from "./fromPeer.ts"
import { HiveDirectory } from "./HiveDirectory.ts"

/** What leaving the stream of an operation does. */
export interface LeavingOptions {
  /** Whether the hive is to continue when the stream is left now; when absent, the job decides, and without one it is cancelled. */
  readonly isLeftRunning?: (() => boolean) | undefined
}

/** A request for a hive, as text. */
export interface Forwarded extends LeavingOptions {
  readonly operation: string
  readonly hiveId: string
  /** The JSON that the hive gets. */
  readonly json: string
  readonly routing: Routing
  /** Whether the caller can go on with the work on another hive now, if this one is gone. Absent: if it is repeatable. */
  readonly canMove?: (() => boolean) | undefined
  /** The queen's job that the hive's job stands for, when there is one. */
  readonly job?: RunningJob | undefined
}

/** Sends operations to hives, and gives what comes back. */
export class HiveForwarder extends Context.Service<
  HiveForwarder,
  {
    /**
     * Runs the operation on the hive that it names. The events come in the hive's order and with its ids, without its
     * end event: the stream ends, or fails with what the hive failed with. Leaving the stream cancels the hive's job,
     * unless it is to be left running. A
     * connection that breaks is resumed, meanwhile and for up to `timeouts.reconnect` the hive's job goes on; if that
     * fails, only work that nobody else waits for, such as an answer, is cancelled.
     */
    readonly forward: (
      operation: Operation,
      options?: LeavingOptions
    ) => Stream.Stream<JobEvent, ForwardError>
    /**
     * The same for a request as text, which goes out as it is: also for operations that this process does not know. The
     * stream is to be run once.
     */
    readonly forwardJson: (request: Forwarded) => Stream.Stream<JobEvent, ForwardError>
  }
>()("rbee/queen/forward/HiveForwarder") {
  static readonly layerNoDeps = Layer.effect(
    HiveForwarder,
    Effect.suspend(() => make)
  ).pipe(Layer.provide(JobsClient.layerNoDeps))

  /** With a pool of connections of its own. */
  static readonly layer = this.layerNoDeps.pipe(Layer.provide(hivePool))
}

const cancelTimeout = "5 seconds"
// A hive answers when the work has stopped. A healthy worker has 30 s for that; a hive that is away is not waited for.
const stopTimeout = Duration.seconds(10)
const maxStopTimeout = Duration.seconds(40)
const stopPollInterval = "1 second"
const alreadyEnded = 409
const lateTimeout = "1 second"
const attempts = 3
const pauseBeforeRetry = "100 millis"

type EventPull = Pull.Pull<Arr.NonEmptyReadonlyArray<JobEvent>, ForwardError>

const encode = Schema.encodeSync(Schema.fromJsonString(Operation))

const forwarding = ({ hiveId, job, operation }: Forwarded) =>
  JobEvent.narration(
    "qn-fwd",
    "forward_start",
    `Forwarding ${operation} operation to hive '${hiveId}'`,
    job?.id
  )

const failureOf = (end: JobEvent): JobFailed | JobCancelled | undefined => {
  if (end.kind === "done") return undefined
  if (end.kind === "cancelled") {
    const said = Option.getOrUndefined(readCancelled(end.json))
    return new JobCancelled({ confirmed: said?.confirmed ?? false })
  }
  const failure = readFailure(end.json)
  if (Option.isNone(failure)) return new JobFailed({ code: "JobFailed", sentence: "The hive's job failed" })
  const { code, details, message } = failure.value.error
  return new JobFailed({ code, sentence: message, ...(details === undefined ? {} : { details }) })
}

const make = Effect.gen(function* () {
  const directory = yield* HiveDirectory
  const client = yield* JobsClient
  const { timeouts } = yield* Settings
  const clock = yield* Clock.Clock
  const resumedEvents = yield* makeResumedEvents
  const queen = `queen-${crypto.randomUUID()}`
  const lostStreams = new Map<string, number>()

  // A hive has many streams, and one connection to tell of.
  const onLost = (hive: string, error: PeerError) =>
    Effect.suspend(() => {
      const before = lostStreams.get(hive) ?? 0
      lostStreams.set(hive, before + 1)
      return before > 0
        ? Effect.void
        : Effect.logWarning("connection to a hive lost; reconnecting", { hive, reason: error.message })
    })
  const onFound = (hive: string, isBack: boolean) =>
    Effect.suspend(() => {
      const left = (lostStreams.get(hive) ?? 1) - 1
      if (left > 0) lostStreams.set(hive, left)
      else lostStreams.delete(hive)
      return isBack && left <= 0 ? Effect.logInfo("reconnected to a hive", { hive }) : Effect.void
    })

  // Every job has one at hand, and few run it.
  const cancel = (hive: Peer, jobId: string) =>
    Effect.suspend(() => client.cancel(hive, jobId).pipe(Effect.timeout(cancelTimeout), Effect.ignore))

  /** Returns when the answer to a cancel is not waited for any longer. A live hive writes to its stream every second. */
  const stopDeadline = Effect.fnUntraced(function* (heard: StreamActivity) {
    const startedAt = clock.currentTimeMillisUnsafe()
    yield* Effect.sleep(stopTimeout)
    while (true) {
      const now = clock.currentTimeMillisUnsafe()
      if (now - startedAt >= Duration.toMillis(maxStopTimeout)) return
      if (now - (heard.at ?? startedAt) >= Duration.toMillis(stopTimeout)) return
      yield* Effect.sleep(stopPollInterval)
    }
  })

  const stopAt = (hive: Peer, jobId: string, job: RunningJob, heard: StreamActivity) =>
    client.cancel(hive, jobId).pipe(
      Effect.as(true),
      Effect.catch((error) =>
        error._tag === "PeerRefused" && error.status === alreadyEnded
          ? Effect.succeed(true)
          : Effect.as(job.unconfirmed, false)
      ),
      Effect.raceFirst(Effect.flatMap(stopDeadline(heard), () => Effect.as(job.unconfirmed, false)))
    )

  // A hive that was asked takes the job, also when whoever asked has left before it answered.
  const submit = Effect.fnUntraced(function* (
    hive: Peer,
    { hiveId, json }: Forwarded,
    isLeft: () => boolean
  ) {
    const submitting = yield* Effect.forkDetach(client.start(hive, json, { queen }), {
      startImmediately: true
    })
    const undo = Effect.ignore(
      Effect.flatMap(Fiber.join(submitting), ({ jobId, leave }) =>
        isLeft() ? leave : Effect.andThen(cancel(hive, jobId), leave)
      )
    )
    return yield* Effect.onInterrupt(Fiber.join(submitting), () =>
      Effect.flatMap(Effect.forkDetach(undo), (undoing) =>
        Effect.timeoutOption(Fiber.await(undoing), directory.isLost(hiveId) ? lateTimeout : cancelTimeout)
      )
    )
  })

  const watch = (hive: string, heard: StreamActivity) =>
    Effect.suspend(() => {
      const startedAt = clock.currentTimeMillisUnsafe()
      const bound = (
        limit: HiveTimeout["limit"],
        after: Duration.Duration,
        since: () => number | undefined
      ) => ({
        millis: Duration.toMillis(after),
        since,
        error: () => {
          heard.isLate = true
          return new HiveTimeout({ hive, limit, seconds: Duration.toSeconds(after) })
        }
      })
      const { firstEvent, idle, total } = timeouts
      return enforceDeadlines([
        bound("first_event", firstEvent, () => (heard.event || heard.isBroken ? undefined : startedAt)),
        bound("idle", idle, () => heard.at),
        ...(total === undefined ? [] : [bound("total", total, () => startedAt)])
      ])
    })

  /** One attempt, until the scope closes. */
  const open = Effect.fnUntraced(function* (request: Forwarded, heard: StreamActivity) {
    const hive = yield* directory.find(request.hiveId)
    const asForwardError = fromPeer(request.hiveId)
    const toForwardError = (error: PeerError) => {
      // A connection that broke may be the only one; where none comes about, there is no hive.
      if (error._tag === "PeerUnreachable" && error.reason !== "reset" && error.reason !== "restarted") {
        directory.markUnreachable(request.hiveId, reasonText[error.reason])
      }
      return asForwardError(error)
    }
    let end: JobEvent | undefined
    const isLeft = () => (request.isLeftRunning ?? request.job?.isLeftRunning)?.() === true
    const leave = ({ jobId }: StartedJob) => {
      if (end !== undefined) return Effect.void
      const { isBroken, isLate } = heard
      if (isLeft()) return Effect.void
      if (isBroken && request.routing.whenAbandoned === "continue") return Effect.void
      // Nobody waits long for a hive that is silent or away, and it is told all the same.
      return isLate || isBroken || directory.isLost(request.hiveId)
        ? Effect.timeoutOption(cancel(hive, jobId), lateTimeout)
        : cancel(hive, jobId)
    }
    const submitting = Effect.mapError(submit(hive, request, isLeft), toForwardError)
    const started = yield* acquireRelease(submitting, leave, { interruptible: true })
    const { jobId } = started
    const { job } = request
    if (job !== undefined) {
      yield* job.setHiveJob(request.hiveId, jobId)
      yield* job.onCancel(stopAt(hive, jobId, job, heard))
    }

    heard.at = clock.currentTimeMillisUnsafe()
    const events: EventPull = yield* resumedEvents({
      peer: hive,
      jobId,
      events: started.events,
      isKnown: true,
      canMove: request.canMove ?? (() => request.routing.repeatable),
      onBytes: () => {
        heard.at = clock.currentTimeMillisUnsafe()
        directory.markAlive(request.hiveId)
      },
      onEvents: () => {
        heard.event = true
      },
      onEnd: (event) => {
        end = event
      },
      onLost: (error) => {
        heard.isBroken = true
        heard.at = undefined
        return onLost(request.hiveId, error)
      },
      onResumed: Effect.suspend(() => {
        heard.isBroken = false
        heard.at = clock.currentTimeMillisUnsafe()
        return onFound(request.hiveId, true)
      }),
      end: (error) =>
        Effect.fail(
          Cause.isDone(error)
            ? ((end === undefined ? undefined : failureOf(end)) ?? error)
            : toForwardError(error)
        )
    })
    yield* addFinalizer(() => (heard.isBroken ? onFound(request.hiveId, false) : Effect.void))
    const watching = watch(request.hiveId, heard)
    if (job === undefined) {
      const late = yield* Effect.forkScoped(watching)
      return Effect.raceFirst(events, Fiber.join(late))
    }
    // A job can be ended from outside, which spares each event the way through a second fiber.
    yield* Effect.forkScoped(Effect.catch(watching, job.fail))
    return events
  })

  // Only a broken connection is worth a second try: who refuses once does so again.
  const withRetries = (request: Forwarded, scope: Scope.Scope): EventPull => {
    let left = request.routing.repeatable ? attempts : 1
    let current: EventPull | undefined
    const next: EventPull = Effect.flatMap(Scope.fork(scope), (own) => {
      left--
      const heard: StreamActivity = { at: undefined, event: false, isBroken: false, isLate: false }
      const orAgain = (pull: EventPull): EventPull =>
        left === 0
          ? pull
          : Effect.catch(pull, (error) => {
              const isReset = error._tag === "ConnectionFailed" && error.reason === "reset"
              if (!isReset || heard.event) return Effect.fail(error)
              return Scope.close(own, Exit.void).pipe(
                Effect.andThen(Effect.sleep(pauseBeforeRetry)),
                Effect.andThen(next)
              )
            })
      return orAgain(
        Effect.flatMap(Scope.provide(open(request, heard), own), (events) => {
          current = orAgain(events)
          return events
        })
      )
    })
    return Effect.suspend(() => current ?? next)
  }

  const forwardJson = (request: Forwarded) =>
    fromScopedPull(
      Effect.map(Effect.scope, (scope) => {
        const events = withRetries(request, scope)
        let hasBegun = false
        return Effect.suspend(() => {
          if (hasBegun) return events
          hasBegun = true
          return Effect.succeed(Arr.of(forwarding(request)))
        })
      })
    )

  return HiveForwarder.of({
    forward: (operation, options = {}) => {
      const name = operationName(operation)
      const { routing } = Operation.cases[name]
      return Stream.suspend(() =>
        forwardJson({
          operation: name,
          hiveId: hiveId(operation) ?? "localhost",
          json: encode(operation),
          routing,
          ...options
        })
      )
    },
    forwardJson
  })
})

/** What was heard of a hive: when it last sent anything, and whether an event was among it. */
interface StreamActivity {
  at: number | undefined
  event: boolean
  /** The connection broke, and none has come about since. */
  isBroken: boolean
  /** It was silent for longer than it may. */
  isLate: boolean
}
