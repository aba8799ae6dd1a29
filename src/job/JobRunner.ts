import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Option from "effect/Option"
import * as Semaphore from "effect/Semaphore"
import * as Tracer from "effect/Tracer"
import { TransientMap } from "../http/TransientMap.ts"
import type { OperationError } from "./errors.ts"
import type { Job } from "./Job.ts"
import { outcomeOf } from "./JobOutcome.ts"
import { JobEvent } from "./log/JobEvent.ts"
import type { Work } from "./Submission.ts"

// A healthy worker has 30 s to stop; then the hive restarts it. A queen waits for the hive's answer to that.
const requestTimeout = Duration.seconds(45)
const stopTimeout = Duration.seconds(5)

/** Runs the work of each job in a fiber of its own, and ends the job with exactly one end event. */
export class JobRunner {
  readonly #clock: Clock.Clock
  readonly #context: Context.Context<never>
  readonly #permits: Semaphore.Semaphore
  readonly #onEnd: (job: Job, logBytes: number) => void
  readonly #fibers = new TransientMap<string, Fiber.Fiber<void>>()
  #isOpen = true
  /** Jobs that wait for a permit. */
  queued = 0
  /** Unfinished jobs that occupy no worker. */
  controls = 0

  constructor(options: {
    readonly clock: Clock.Clock
    readonly context: Context.Context<never>
    readonly permits: Semaphore.Semaphore
    /** Called after the end event. */
    readonly onEnd: (job: Job, logBytes: number) => void
  }) {
    this.#clock = options.clock
    this.#context = options.context
    this.#permits = options.permits
    this.#onEnd = options.onEnd
  }

  /** Counts a job that is about to be launched. */
  admit(job: Job) {
    this.queued++
    if (job.routing.occupiesWorker !== true) this.controls++
  }

  /** Starts the work of a job that was admitted. Work that occupies a worker waits for a permit; other work never waits for it. */
  launch(job: Job, work: Work) {
    const running = this.#run(job, work)
    return (job.routing.occupiesWorker === true ? this.#permits.withPermit(running) : running).pipe(
      Effect.interruptible,
      Effect.onExit((exit) => {
        if (job.state === "queued") this.queued--
        if (job.routing.occupiesWorker !== true) this.controls--
        return this.#finish(job, exit)
      }),
      Effect.exit,
      Effect.asVoid,
      // An interruptible fiber that is interrupted before its first step runs nothing, not even the job's end.
      Effect.forkDetach({ uninterruptible: true }),
      Effect.updateContext((request: Context.Context<never>) => this.#contextOfJob(request)),
      Effect.flatMap((fiber) => {
        this.#fibers.set(job.id, fiber)
        fiber.addObserver(() => this.#fibers.delete(job.id))
        return this.#isOpen && !job.isCancelling ? Effect.void : Fiber.interrupt(fiber)
      })
    )
  }

  /** Stops the work: asks its remote part, then interrupts work that has not ended. Returns when the job has ended. */
  readonly stop = Effect.fnUntraced(function* (this: JobRunner, { id, remote }: Job) {
    const fiber = this.#fibers.get(id)
    if (fiber === undefined) return
    if (remote?.stop !== undefined) {
      const endsByItself = yield* Effect.timeoutOption(remote.stop, requestTimeout)
      if (Option.getOrElse(endsByItself, () => false)) {
        yield* Effect.timeoutOption(Fiber.await(fiber), stopTimeout)
      }
    }
    yield* Fiber.interrupt(fiber)
  })

  /** Interrupts the work. Returns when the job has ended. */
  interrupt(job: Job) {
    const fiber = this.#fibers.get(job.id)
    return fiber === undefined ? Effect.void : Fiber.interrupt(fiber)
  }

  /** Interrupts all work, and every job that is launched later. */
  readonly close = Effect.suspend(() => {
    this.#isOpen = false
    // Not through the scope of each fiber: a scope retains closed entries as long as a `Map` does.
    return Fiber.interruptAll(this.#fibers.values())
  })

  #run(job: Job, work: Work) {
    return Effect.suspend(() => {
      this.queued--
      job.state = "running"
      job.startedAt ??= this.#clock.currentTimeMillisUnsafe()
      return work(job.running, (events) => job.log.append(events))
    })
  }

  readonly #finish = Effect.fnUntraced(function* (
    this: JobRunner,
    job: Job,
    exit: Exit.Exit<void, OperationError>
  ) {
    const now = this.#clock.currentTimeMillisUnsafe()
    const outcome = yield* outcomeOf(job, exit)
    job.state = outcome.state
    job.error = outcome.error
    job.endedAt = now
    const startedAt = job.startedAt ?? now
    yield* job.log.end(
      outcome.state === "completed"
        ? JobEvent.done({ queued_ms: startedAt - job.createdAt, run_ms: now - startedAt })
        : outcome.error === undefined
          ? JobEvent.cancelled(job.isConfirmed && outcome.isConfirmed !== false)
          : JobEvent.failed(outcome.error)
    )
    this.#onEnd(job, yield* job.log.bytes)
  })

  // A job outlives its request, so it keeps the request's trace only. With the services of the request, about eight, each
  // service that is provided later would copy all services of the daemon.
  #contextOfJob(request: Context.Context<never>) {
    const span = Context.getOrUndefined(request, Tracer.ParentSpan)
    return span === undefined ? this.#context : Context.add(this.#context, Tracer.ParentSpan, span)
  }
}
