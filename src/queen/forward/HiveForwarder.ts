import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Schedule from "effect/Schedule"
import { DaemonClient } from "../../daemon/DaemonClient.ts"
import { hivePool } from "../../http/hivePool.ts"
import { traced } from "../../http/traced.ts"
import { JobsClient } from "../../job/client/JobsClient.ts"
import { JobEvent } from "../../job/log/JobEvent.ts"
import { Settings } from "../../settings/Settings.ts"
import { type AttemptServices, ForwardAttempt } from "./ForwardAttempt.ts"
import type { Forwarded, ForwardJson, TakeEvents } from "./Forwarded.ts"
import { type Forward, forwardWith } from "./forwardOperation.ts"
import { HiveDirectory } from "./HiveDirectory.ts"
import { HiveJobs } from "./HiveJobs.ts"
import { LostStreams } from "./LostStreams.ts"

/** Forwards operations to hives and relays their events. */
export class HiveForwarder extends Context.Service<
  HiveForwarder,
  {
    /**
     * Runs an operation on the hive that it names: `forward(new WorkerList({ hive_id }))`, or with the class of an operation
     * of the application's own, `forward(Greet, new Greet({ hive_id, name }))`, which encodes it and tells by its `routing`
     * how to run it. The events have the hive's order and ids; an event with unexpected data is an `InvalidResponse`. The
     * hive's end event is not among them: the stream ends, or fails as the hive's job failed. Leaving the stream cancels the hive's job, unless
     * it is to be left running. A connection that breaks is resumed for up to `timeouts.reconnect`, while the hive's job
     * continues; if that fails, only work that no one else needs, such as an answer, is cancelled.
     */
    readonly forward: Forward
    /**
     * The same for a request as text, which is sent unchanged, also for operations that this process does not know. Emits
     * the events batch by batch, their data unparsed, and succeeds at the end of the hive's job.
     */
    readonly forwardJson: ForwardJson
  }
>()("rbee/queen/forward/HiveForwarder") {
  static readonly layerNoDeps = Layer.effect(
    HiveForwarder,
    Effect.suspend(() => make)
  ).pipe(Layer.provide([DaemonClient.layerNoDeps, JobsClient.layerNoDeps]))

  /** With its own connection pool. */
  static readonly layer = this.layerNoDeps.pipe(Layer.provide(hivePool))
}

const retries = 2
const retryPause = Schedule.spaced("100 millis")

const forwardStart = ({ hiveId, job, operation }: Forwarded) =>
  JobEvent.narration(
    "qn-fwd",
    "forward_start",
    `Forwarding ${operation} operation to hive '${hiveId}'`,
    job?.id
  )

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
    jobs: new HiveJobs(client, yield* DaemonClient, clock),
    lostStreams: new LostStreams(),
    timeouts
  }

  const forwardJson: ForwardJson = (request, emit) =>
    Effect.suspend(() =>
      Effect.andThen(
        request.resumed === undefined ? emit([forwardStart(request)]) : Effect.void,
        relay(services, request, emit)
      )
    ).pipe(traced("HiveForwarder.forward", { operation: request.operation, hive: request.hiveId }))

  return HiveForwarder.of({ forward: forwardWith(forwardJson), forwardJson })
})
