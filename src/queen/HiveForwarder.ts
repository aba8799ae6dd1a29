import * as Arr from "effect/Array"
import * as Cause from "effect/Cause"
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import { Settings } from "../config/Settings.ts"
import { JobCancelled, JobFailed } from "../job/clientErrors.ts"
import { JobEvent, readFailure } from "../job/JobEvent.ts"
import type { RunningJob } from "../job/Submission.ts"
import { JobsClient, type Peer, type StartedJob } from "../job/JobsClient.ts"
import { acquireRelease } from "../job/lightScope.ts"
import { overstepped } from "../job/overstepped.ts"
import { hiveId, Operation, operationName } from "../operation/Operation.ts"
import type { Routing } from "../operation/Routing.ts"
import { type ForwardError, HiveTimeout } from "./errors.ts"
import { HiveDirectory } from "./HiveDirectory.ts"
import { fromPeer } from "./fromPeer.ts"
import { hivePool } from "./HivePool.ts"

/** A request for a hive, as text. */
export interface Forwarded {
  readonly operation: string
  readonly hiveId: string
  /** The JSON that the hive gets. */
  readonly json: string
  readonly routing: Routing
  /** The queen's job that the hive's job stands for, when there is one. */
  readonly job?: RunningJob | undefined
}

/** Sends operations to hives, and gives what comes back. */
export class HiveForwarder extends Context.Service<
  HiveForwarder,
  {
    /**
     * Runs the operation on the hive that it names. The events come in the hive's order and with its ids, without its
     * end event: the stream ends, or fails with what the hive failed with. Leaving the stream cancels the hive's job.
     */
    readonly forward: (operation: Operation) => Stream.Stream<JobEvent, ForwardError>
    /** The same for a request as text, which goes out as it is: also for operations that this process does not know. */
    readonly forwardJson: (request: Forwarded) => Stream.Stream<JobEvent, ForwardError>
  }
>()("rbee/queen/HiveForwarder") {
  static readonly layerNoDeps = Layer.effect(
    HiveForwarder,
    Effect.suspend(() => make)
  ).pipe(Layer.provide(JobsClient.layerNoDeps))

  /** With a pool of connections of its own. */
  static readonly layer = this.layerNoDeps.pipe(Layer.provide(hivePool))
}

const cancelWithin = "5 seconds"
const lateWithin = "1 second"
const attempts = 3
const pauseBeforeRetry = "100 millis"

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
  if (end.kind === "cancelled") return new JobCancelled()
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

  const cancel = (hive: Peer, jobId: string) =>
    client.cancel(hive, jobId).pipe(Effect.timeout(cancelWithin), Effect.ignore)

  // A hive that was asked takes the job, also when whoever asked has left before it answered.
  const submit = Effect.fnUntraced(function* (hive: Peer, json: string) {
    const submitting = yield* Effect.forkDetach(client.start(hive, json))
    const undo = Effect.ignore(
      Effect.flatMap(Fiber.join(submitting), ({ jobId, leave }) => Effect.andThen(cancel(hive, jobId), leave))
    )
    return yield* Effect.onInterrupt(Fiber.join(submitting), () =>
      Effect.flatMap(Effect.forkDetach(undo), (undoing) =>
        Effect.timeoutOption(Fiber.await(undoing), cancelWithin)
      )
    )
  })

  const watch = (hive: string, heard: Heard) =>
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
      return overstepped([
        bound("first_event", firstEvent, () => (heard.event ? undefined : startedAt)),
        bound("idle", idle, () => heard.at),
        ...(total === undefined ? [] : [bound("total", total, () => startedAt)])
      ])
    })

  const run = (request: Forwarded, heard: Heard): Stream.Stream<JobEvent, ForwardError> =>
    Stream.unwrap(
      Effect.gen(function* () {
        const hive = yield* directory.find(request.hiveId)
        const toForwardError = Effect.mapError(fromPeer(request.hiveId))
        let end: JobEvent | undefined
        const leave = ({ jobId }: StartedJob) => {
          if (end !== undefined) return Effect.void
          // Nobody waits long for a hive that is silent, and it is told all the same.
          return heard.isLate ? Effect.timeoutOption(cancel(hive, jobId), lateWithin) : cancel(hive, jobId)
        }
        const submitting = toForwardError(submit(hive, request.json))
        const started = yield* acquireRelease(submitting, leave, { interruptible: true })
        const { jobId } = started
        if (request.job !== undefined) {
          yield* request.job.runsAt(request.hiveId, jobId)
          yield* request.job.stopBy(cancel(hive, jobId))
        }

        heard.at = clock.currentTimeMillisUnsafe()
        const onBytes = () => {
          heard.at = clock.currentTimeMillisUnsafe()
          directory.heard(request.hiveId)
        }
        const onEnd = (event: JobEvent) => {
          end = event
        }
        // One step around each pull, because this runs for every token.
        const events = Stream.transformPull(started.events({ onBytes, onEnd }), (pull) =>
          Effect.succeed(
            Effect.matchEffect(pull, {
              onSuccess: (batch) => {
                heard.event = true
                return Effect.succeed(batch)
              },
              onFailure: (error): Effect.Effect<never, ForwardError | Cause.Done> => {
                if (!Cause.isDone(error)) return Effect.fail(fromPeer(request.hiveId)(error))
                return Effect.fail((end === undefined ? undefined : failureOf(end)) ?? error)
              }
            })
          )
        )
        const { job } = request
        if (job === undefined) {
          const silence = Stream.fromEffectDrain(watch(request.hiveId, heard))
          return Stream.merge(events, silence, { haltStrategy: "left" })
        }
        // A job can be ended from outside, which spares each event the way through a second fiber.
        yield* watch(request.hiveId, heard).pipe(Effect.catch(job.fail), Effect.forkScoped)
        return events
      })
    )

  // Only a broken connection is worth a second try: who refuses once does so again.
  const attempt = (request: Forwarded, left: number): Stream.Stream<JobEvent, ForwardError> =>
    Stream.suspend(() => {
      const heard: Heard = { at: undefined, event: false, isLate: false }
      if (left === 1) return run(request, heard)
      return Stream.catchIf(
        run(request, heard),
        (error) => error._tag === "ConnectionFailed" && error.reason === "reset" && !heard.event,
        () => Stream.unwrap(Effect.as(Effect.sleep(pauseBeforeRetry), attempt(request, left - 1)))
      )
    })

  const forwardJson = (request: Forwarded) =>
    // Not `Stream.concat`, which has a step of its own for every event.
    Stream.transformPull(attempt(request, request.routing.repeatable ? attempts : 1), (pull) =>
      Effect.sync(() => {
        let hasBegun = false
        return Effect.suspend(() => {
          if (hasBegun) return pull
          hasBegun = true
          return Effect.succeed(Arr.of(forwarding(request)))
        })
      })
    )

  return HiveForwarder.of({
    forward: (operation) => {
      const name = operationName(operation)
      const { routing } = Operation.cases[name]
      return forwardJson({
        operation: name,
        hiveId: hiveId(operation) ?? "localhost",
        json: encode(operation),
        routing
      })
    },
    forwardJson
  })
})

/** What was heard of a hive: when it last sent anything, and whether an event was among it. */
interface Heard {
  at: number | undefined
  event: boolean
  /** It was silent for longer than it may. */
  isLate: boolean
}
