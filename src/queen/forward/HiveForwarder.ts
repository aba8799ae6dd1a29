import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Queue from "effect/Queue"
import * as Schedule from "effect/Schedule"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import { hivePool } from "../../http/hivePool.ts"
import { JobsClient } from "../../job/client/JobsClient.ts"
import { JobEvent } from "../../job/log/JobEvent.ts"
import { hiveId, Operation, operationName } from "../../operation/Operation.ts"
import { Settings } from "../../settings/Settings.ts"
import type { ForwardError } from "./errors.ts"
import { type AttemptServices, ForwardAttempt } from "./ForwardAttempt.ts"
import type { Forwarded, LeavingOptions, TakeEvents } from "./Forwarded.ts"
import { HiveDirectory } from "./HiveDirectory.ts"
import { HiveJobs } from "./HiveJobs.ts"
import { LostStreams } from "./LostStreams.ts"

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
      emit: TakeEvents<E>
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

/** Runs attempts until one succeeds, or fails with an error that another attempt would not change. */
const relay = <E>(services: AttemptServices, request: Forwarded, take: TakeEvents<E>) => {
  let attempt: ForwardAttempt
  const once = Effect.suspend(() => {
    attempt = new ForwardAttempt(services, request)
    return ForwardAttempt.run(attempt, take)
  })
  return request.routing.repeatable
    ? Effect.retry(once, {
        times: retries,
        schedule: retryPause,
        while: (error) => attempt.canRepeatAfter(error)
      })
    : once
}

const make = Effect.gen(function* () {
  const client = yield* JobsClient
  const clock = yield* Clock.Clock
  const { timeouts } = yield* Settings
  const services: AttemptServices = {
    client,
    clock,
    directory: yield* HiveDirectory,
    jobs: new HiveJobs(client, clock),
    lostStreams: new LostStreams(),
    timeouts
  }

  const forwardJson = <E>(request: Forwarded, emit: TakeEvents<E>): Effect.Effect<void, ForwardError | E> =>
    Effect.suspend(() => Effect.andThen(emit([forwardStart(request)]), relay(services, request, emit)))

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
