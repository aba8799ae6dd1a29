import { Cause, Clock, Effect, Exit, Fiber, Logger, Metric, Random as EffectRandom, Scope } from "effect"
import { TestClock } from "effect/testing"
import { hiveGeneration } from "../../../src/operation/Routing.ts"
import { Random } from "../../support/Random.ts"
import type { Remains } from "../checks/nothingRemains.ts"
import { behaviours, type Behaviour, type Clients } from "./Clients.ts"
import type { Daemon, EndedJob } from "./Daemon.ts"
import type { Executions } from "./Executions.ts"
import { type Bug, type Fleet, hives, limits, makeFleet, queen } from "./Fleet.ts"
import { maxWork, nextPlan, type Plan } from "./plans.ts"

/** One request of an application. */
export interface Request {
  readonly plan: Plan
  readonly behaviour: Behaviour
  readonly at: number
}

/** What is noticed of all that happens. */
interface Observed {
  readonly fibers: FiberCount
  /** What was logged as an error. */
  readonly errors: Array<string>
}

/** What has happened in a simulated fleet. */
export interface Story {
  readonly seed: number
  readonly isCalm: boolean
  /** When the faults ended, in milliseconds. */
  readonly calmAt: number
  readonly requests: ReadonlyArray<Request>
  readonly clients: Clients
  readonly executions: Executions
  readonly jobs: ReadonlyArray<EndedJob>
  readonly before: Remains
  readonly after: Remains
  /** The fibers that are alive when all daemons have stopped. */
  readonly fibersLeft: number
  readonly faults: ReadonlyMap<string, number>
  /** What was logged as an error. */
  readonly errors: ReadonlyArray<string>
  readonly restarts: number
}

class FiberCount implements Metric.FiberRuntimeMetricsService {
  alive = 0
  recordFiberStart() {
    this.alive++
  }
  recordFiberEnd() {
    this.alive--
  }
}

/** How many jobs that occupy a worker a daemon can run now. */
const freePermits = Effect.fnUntraced(function* ({ jobs }: Daemon) {
  if (jobs === undefined) return 0
  const probe = { operation: "probe", routing: hiveGeneration, router: "test", work: () => Effect.never }
  const probes = yield* Effect.forEach(Array.from({ length: limits.jobsRunning }), () =>
    Effect.orDie(jobs.submit(probe))
  )
  for (let turn = 0; turn < 3; turn++) yield* Effect.yieldNow
  const records = yield* Effect.forEach(probes, ({ job_id }) => Effect.orDie(jobs.get(job_id)))
  for (const { job_id } of records) yield* Effect.ignore(jobs.cancel(job_id))
  return records.filter(({ state }) => state === "running").length
})

const remainsOf = Effect.fnUntraced(function* ({ daemons, executions, network }: Fleet, fibers: FiberCount) {
  let jobs = 0
  let permits = 0
  for (const daemon of daemons) {
    jobs += (yield* daemon.unfinished()).length
    permits += yield* freePermits(daemon)
  }
  const remains: Remains = {
    fibers: fibers.alive,
    connections: network.open,
    jobs,
    executions: executions.all.filter(({ endedAt }) => endedAt === undefined).length,
    permits
  }
  return remains
})

const restart = Effect.fnUntraced(function* (
  daemon: Daemon,
  { at, isKilled, pause }: { readonly at: number; readonly isKilled: boolean; readonly pause: number }
) {
  yield* Effect.sleep(at)
  yield* isKilled ? daemon.kill() : daemon.stop()
  yield* Effect.sleep(pause)
  yield* daemon.start()
})

/** When which daemon restarts; the restarts of one daemon come one after the other. */
const restarts = ({ daemons, faultRate }: Fleet, random: Random, period: number) =>
  daemons.map((daemon) => {
    const isQueen = daemon.origin === queen
    const count = faultRate === 0 ? 0 : isQueen ? random.whole(-3, 1) : random.whole(-1, 2)
    return Effect.forEach(
      Array.from({ length: Math.max(0, count) }, () => ({
        at: random.whole(0, period / 2),
        isKilled: random.chance(0.6),
        pause: random.pick([10, 500, 5_000, 15_000])
      })),
      (times) => restart(daemon, times),
      { discard: true }
    )
  })

/** How long what goes on when the faults end may take: a job that waits behind others, and all its waits. */
const settling = 3 * (limits.total + limits.submit) + maxWork + 60_000

/** Starts the fleet, which takes no time. */
const prepare = Effect.fnUntraced(function* (seed: number, random: Random, bug: Bug, { fibers }: Observed) {
  const fibersOfNothing = fibers.alive
  const scope = yield* Scope.make()
  const fleet = yield* Scope.provide(makeFleet(seed, random, bug), scope)
  const period = random.pick([5_000, 20_000, 40_000])
  const requests = Array.from({ length: random.whole(1, 14) }, (_, index): Request => {
    const plan = nextPlan(random, `r${index}`, hives)
    fleet.plans.set(plan.id, plan)
    return { plan, behaviour: random.pick(behaviours), at: random.whole(0, period) }
  })
  // The clock itself has a fiber until it is moved.
  yield* TestClock.adjust(1)
  const before = yield* remainsOf(fleet, fibers)
  return { fibersOfNothing, scope, fleet, period, requests, before }
})

type Prepared = Effect.Success<ReturnType<typeof prepare>>

const play = Effect.fnUntraced(function* (
  { before, fibersOfNothing, fleet, period, requests, scope }: Prepared,
  random: Random,
  { errors, fibers }: Observed
) {
  const { clients, daemons, executions, faultRate, network, seed } = fleet
  const running = yield* Effect.forkDetach(
    Effect.all(
      [
        ...requests.map(({ at, behaviour, plan }) => Effect.delay(clients.request(plan, behaviour), at)),
        ...restarts(fleet, random, period)
      ],
      { concurrency: "unbounded", discard: true }
    )
  )
  yield* Effect.sleep(period)
  network.faultRate = 0
  const calmAt = yield* Clock.currentTimeMillis
  yield* Effect.timeoutOption(Fiber.await(running), settling)
  // What nobody follows any more runs to its end.
  yield* Effect.sleep(maxWork)
  const after = yield* remainsOf(fleet, fibers)
  const jobs = yield* Effect.forEach(daemons, (daemon) => daemon.ended())
  for (const daemon of daemons) yield* daemon.kill()
  yield* Scope.close(scope, Exit.void)
  const story: Story = {
    seed,
    isCalm: faultRate === 0,
    calmAt,
    requests,
    clients,
    executions,
    jobs: jobs.flat(),
    before,
    after,
    fibersLeft: fibers.alive - fibersOfNothing,
    faults: network.faults,
    errors,
    restarts: daemons.reduce((sum, { starts }) => sum + starts - 1, 0)
  }
  return story
})

/** A story takes less time than this, in hours. */
const maxHours = 2

/** The story did not come to its end: something waits for what never happens. */
export class EndlessStory extends Error {}

/** One queen, two hives and their applications, from the first request until nothing goes on any more. */
export const simulate = (seed: number, bug: Bug = {}) =>
  Effect.suspend(() => {
    const random = new Random(seed)
    const observed: Observed = { fibers: new FiberCount(), errors: [] }
    const logger = Logger.make<unknown, void>(({ cause, logLevel, message }) => {
      if (logLevel === "Error" || logLevel === "Fatal") {
        observed.errors.push(`${JSON.stringify(message)} ${Cause.pretty(cause)}`)
      }
    })
    return Effect.gen(function* () {
      // The fibers of whoever moves the clock do not count.
      const counted = Effect.provideService(Metric.FiberRuntimeMetrics, observed.fibers)
      const prepared = yield* counted(prepare(seed, random, bug, observed))
      const playing = yield* Effect.forkDetach(counted(play(prepared, random, observed)), {
        startImmediately: true
      })
      for (let minute = 0; playing.pollUnsafe() === undefined; minute++) {
        if (minute > 60 * maxHours) return yield* Effect.die(new EndlessStory(`seed ${seed} does not end`))
        yield* TestClock.adjust("1 minute")
      }
      return yield* Fiber.join(playing)
    }).pipe(
      Effect.provideService(EffectRandom.Random, {
        nextIntUnsafe: () => random.whole(Number.MIN_SAFE_INTEGER / 2, Number.MAX_SAFE_INTEGER / 2),
        nextDoubleUnsafe: () => random.next()
      }),
      Effect.provide([TestClock.layer({ warningDelay: "1 minute" }), Logger.layer([logger])])
    )
  })
