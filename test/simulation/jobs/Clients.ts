import { Clock, Effect, Fiber, Stream } from "effect"
import type { DaemonClient } from "../../../src/daemon/DaemonClient.ts"
import { isPeerError, type PeerError } from "../../../src/job/client/clientErrors.ts"
import type { JobsClient, StartedJob } from "../../../src/job/client/JobsClient.ts"
import type { Peer } from "../../../src/job/client/Peer.ts"
import { isEnd, type JobEvent } from "../../../src/job/log/JobEvent.ts"
import type { Random } from "../../support/Random.ts"
import type { Plan } from "./plans.ts"

/** What one follower of a job has received. */
export interface Follower {
  readonly plan: Plan
  readonly jobId: string
  readonly startedAt: number
  /** Without the end event. */
  readonly events: Array<JobEvent>
  end: JobEvent | undefined
  error: PeerError | undefined
  lastByteAt: number
  /** Absent as long as it follows. */
  endedAt: number | undefined
  /** Whether it left before the end. */
  hasLeft: boolean
}

/** A wait of a client that has a limit. */
export interface Wait {
  readonly what: string
  readonly startedAt: number
  readonly limit: number
  endedAt: number | undefined
}

/** What applications do with their jobs. */
export const behaviours = [
  "follows",
  "leaves",
  "cancels",
  "reads in pieces",
  "is joined",
  "vanishes"
] as const
export type Behaviour = (typeof behaviours)[number]

const maxFailedReads = 40

/** Applications that submit requests to the queen and follow their jobs. */
export class Clients {
  readonly #client: JobsClient["Service"]
  readonly #daemons: DaemonClient["Service"]
  readonly #clock: Clock.Clock
  readonly #random: Random
  readonly #queen: Peer
  readonly #submitLimit: number
  readonly followers: Array<Follower> = []
  readonly waits: Array<Wait> = []
  /** The ids of the jobs that were to be cancelled, and whether the queen said that they are. */
  readonly cancels = new Map<string, boolean>()
  refused = 0

  constructor(options: {
    readonly client: JobsClient["Service"]
    readonly daemons: DaemonClient["Service"]
    readonly clock: Clock.Clock
    readonly random: Random
    readonly queen: Peer
    /** `timeouts.submit`, in milliseconds. */
    readonly submitLimit: number
  }) {
    this.#client = options.client
    this.#daemons = options.daemons
    this.#clock = options.clock
    this.#random = options.random
    this.#queen = options.queen
    this.#submitLimit = options.submitLimit
  }

  /** Submits the request and does with its job what the behaviour says. */
  request(plan: Plan, behaviour: Behaviour): Effect.Effect<void> {
    return behaviour === "reads in pieces" || behaviour === "vanishes"
      ? this.#submits(plan, behaviour)
      : this.#starts(plan, behaviour)
  }

  readonly #submits = Effect.fnUntraced(function* (
    this: Clients,
    plan: Plan,
    behaviour: "reads in pieces" | "vanishes"
  ) {
    const jobId = yield* Effect.option(
      this.#limited(`submit ${plan.id}`, this.#client.submit(this.#queen, plan.json))
    )
    if (jobId._tag === "None") this.refused++
    else if (behaviour === "reads in pieces") yield* this.#readInPieces(this.#follower(plan, jobId.value))
  })

  readonly #starts = Effect.fnUntraced(function* (
    this: Clients,
    plan: Plan,
    behaviour: Exclude<Behaviour, "reads in pieces" | "vanishes">
  ) {
    const started = yield* Effect.option(
      this.#limited(`start ${plan.id}`, this.#client.start(this.#queen, plan.json))
    )
    if (started._tag === "None") {
      this.refused++
      return
    }
    const following = yield* Effect.forkDetach(
      this.#follow(this.#follower(plan, started.value.jobId), started.value),
      { startImmediately: true }
    )
    if (behaviour === "is joined") {
      yield* Effect.sleep(this.#random.whole(0, 5_000))
      yield* this.#follow(this.#follower(plan, started.value.jobId))
    } else if (behaviour !== "follows") {
      yield* Effect.sleep(this.#random.whole(0, 8_000))
      if (behaviour === "cancels") yield* this.#cancel(plan, started.value.jobId)
      else yield* Fiber.interrupt(following)
    }
    yield* Fiber.await(following)
  })

  #follower(plan: Plan, jobId: string) {
    const now = this.#clock.currentTimeMillisUnsafe()
    const follower: Follower = {
      plan,
      jobId,
      startedAt: now,
      events: [],
      end: undefined,
      error: undefined,
      lastByteAt: now,
      endedAt: undefined,
      hasLeft: false
    }
    this.followers.push(follower)
    return follower
  }

  #follow(follower: Follower, started?: StartedJob) {
    return this.#client
      .follow(this.#queen, follower.jobId, {
        events: started?.events,
        isKnown: true,
        canMove: () => false,
        onBytes: () => this.#receivedBytes(follower),
        onLost: () => Effect.void,
        onResumed: Effect.void,
        take: (events) => Effect.sync(() => void follower.events.push(...events))
      })
      .pipe(
        Effect.match({
          onSuccess: (end) => {
            follower.end = end
          },
          onFailure: (error) => {
            follower.error = error
          }
        }),
        Effect.onInterrupt(() =>
          Effect.sync(() => {
            follower.hasLeft = true
          })
        ),
        Effect.ensuring(
          Effect.sync(() => {
            follower.endedAt = this.#clock.currentTimeMillisUnsafe()
          })
        )
      )
  }

  /** Reads a few events and leaves, until the end has come. */
  readonly #readInPieces = Effect.fnUntraced(function* (this: Clients, follower: Follower) {
    for (let failed = 0; follower.end === undefined && failed < maxFailedReads;) {
      const after = follower.events.at(-1)?.id ?? 0
      const stream = this.#client.events(this.#queen, follower.jobId, {
        after,
        onBytes: () => this.#receivedBytes(follower)
      })
      const error = yield* stream.pipe(
        Stream.take(this.#random.whole(1, 6)),
        Stream.runForEach((event) => Effect.sync(() => this.#take(follower, event))),
        Effect.match({ onSuccess: () => undefined, onFailure: (error) => error })
      )
      if (error === undefined) continue
      follower.error = error
      if (isPeerError(error) && error._tag === "PeerRefused" && error.status === 404) break
      failed++
      yield* Effect.sleep(1_000)
    }
    if (follower.end !== undefined) follower.error = undefined
    follower.endedAt = this.#clock.currentTimeMillisUnsafe()
  })

  #take(follower: Follower, event: JobEvent) {
    if (isEnd(event.kind)) follower.end = event
    // As `follow` does: a daemon that resumes at the wrong event sends some twice.
    else if ((event.id ?? 0) > (follower.events.at(-1)?.id ?? 0)) follower.events.push(event)
  }

  #receivedBytes(follower: Follower) {
    follower.lastByteAt = this.#clock.currentTimeMillisUnsafe()
  }

  readonly #cancel = Effect.fnUntraced(function* (this: Clients, { id }: Plan, jobId: string) {
    const isCancelled = yield* this.#limited(
      `cancel ${id}`,
      Effect.match(this.#daemons.cancel(this.#queen, jobId), {
        onSuccess: () => true,
        onFailure: () => false
      })
    )
    this.cancels.set(jobId, isCancelled)
  })

  #limited<A, E>(what: string, effect: Effect.Effect<A, E>) {
    return Effect.suspend(() => {
      const startedAt = this.#clock.currentTimeMillisUnsafe()
      const wait: Wait = { what, startedAt, limit: this.#submitLimit, endedAt: undefined }
      this.waits.push(wait)
      const ended = Effect.sync(() => {
        wait.endedAt = this.#clock.currentTimeMillisUnsafe()
      })
      return Effect.ensuring(effect, ended)
    })
  }
}
