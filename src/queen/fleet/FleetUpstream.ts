import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as FiberSet from "effect/FiberSet"
import * as Layer from "effect/Layer"
import { contextNeed, longerNeed } from "../../gateway/upstream/contextNeed.ts"
import { requiredCapabilities } from "../../gateway/upstream/requiredCapabilities.ts"
import {
  findModel,
  type GatewayRequest,
  pickModel,
  publicModels,
  type ServedModel,
  Upstream
} from "../../gateway/upstream/Upstream.ts"
import type { OperationError } from "../../job/errors.ts"
import { JobEvent } from "../../job/log/JobEvent.ts"
import type { Emit, RunningJob } from "../../job/Submission.ts"
import { Complete } from "../../operation/inferenceOperations.ts"
import { Settings } from "../../settings/Settings.ts"
import { AnswerLost } from "../scheduler/errors.ts"
import { keyOf, type WorkerView } from "../scheduler/Fleet.ts"
import { FleetView, type HiveSnapshot } from "../scheduler/FleetView.ts"
import { Scheduler, type Reservation, type ReservationRequest } from "../scheduler/Scheduler.ts"
import { AnswerContinuation } from "./AnswerContinuation.ts"
import { classifyFailure } from "./classifyFailure.ts"
import { HiveAttempt, isHiveError } from "./HiveAttempt.ts"
import { modelRequirements } from "./modelRequirements.ts"

const actor = "qn-sched"
const maxAge = 2_000

// Of a second hive job the numbers begin anew, so its events get numbers of the queen's.
const withoutId = ({ json, kind }: JobEvent) => new JobEvent(kind, json)

/** A request on its way to an answer, from one worker to the next if need be. */
interface RequestRun {
  readonly request: GatewayRequest
  readonly job: RunningJob
  readonly emit: Emit
  readonly wish: Omit<ReservationRequest, "attempt" | "avoid" | "id">
  answer: AnswerContinuation
  /** The number of the last event of the job that is of an answer which was begun again, and no longer counts. */
  before: number
  /** Workers that are not to be tried again. */
  readonly avoid: Array<string>
  readonly startedAt: number
  /** Tokens that a worker must have room for. */
  minContext: number | undefined
  /** A worker refused the prompt, and one with a longer context was looked for. */
  isLongerSought: boolean
  /** An engine failed it, and another worker that served already was given the request. */
  isEngineRetried: boolean
}

/** What is given to a worker. */
interface Try {
  /** 1 for the first. */
  readonly number: number
  readonly body: GatewayRequest["body"]
  /** Only a worker that serves already will do. */
  readonly servingOnly: boolean
}

type Attempt = (course: RequestRun, one: Try) => Effect.Effect<void, OperationError>

/** The fleet behind the queen's front doors: each request gets its worker from the scheduler, and another if that fails. */
export const fleetUpstream = Layer.effect(
  Upstream,
  Effect.gen(function* () {
    const fleet = yield* FleetView
    const attempts = yield* HiveAttempt
    const schedule = yield* Scheduler
    const clock = yield* Clock.Clock
    const { aliases, scheduler } = yield* Settings
    const runAside = yield* FiberSet.makeRuntime<never, void, never>()

    // The hive has just failed: what it has now is asked for, and is nothing if it is away.
    const workersOf = (id: string) =>
      Effect.map(fleet.snapshot(0), (stocks) =>
        stocks
          .filter(({ hive }) => hive === id)
          .flatMap(({ inventory }) =>
            inventory.workers.map(({ worker_id }) => keyOf({ hive: id, id: worker_id }))
          )
      )

    const narrate = ({ emit, job }: RequestRun, action: string, message: string) =>
      emit([JobEvent.narration(actor, action, message, job.id)])

    const attempt: Attempt = Effect.fnUntraced(function* (course, { body, number, servingOnly }) {
      const { avoid, job, startedAt, wish } = course
      const waited = clock.currentTimeMillisUnsafe() - startedAt
      const { waitMs } = wish
      const asked = {
        ...wish,
        id: job.id,
        attempt: number,
        avoid,
        servingOnly,
        minContext: course.minContext,
        // The deadline is the request's, however often it is tried.
        waitMs: waitMs === undefined ? undefined : Math.max(0, waitMs - waited)
      }
      const report = (sentence: string) => void runAside(Effect.ignore(narrate(course, "wait", sentence)))
      const turn = yield* Effect.catchIf(
        schedule.reserve(asked, report),
        ({ _tag }) => _tag === "NotPlaceable" && (asked.minContext ?? 0) > 0,
        // No memory for such a context: any worker may find that the prompt is shorter than it seems.
        () => schedule.reserve({ ...asked, minContext: undefined }, report)
      )
      return yield* forward(course, number, turn, body).pipe(
        Effect.andThen(turn.release("ok")),
        Effect.catch((error) =>
          Effect.andThen(turn.release(classifyFailure(error)), again(course, number, turn, error))
        )
      )
    }, Effect.scoped)

    const forward = Effect.fnUntraced(function* (
      course: RequestRun,
      number: number,
      { loadMs, queueMs, sharedTokens, worker }: Reservation,
      body: GatewayRequest["body"]
    ) {
      const { answer, emit, job, request } = course
      request.onPlaced({ hive: worker.hive, worker: worker.id, queueMs, loadMs })
      const known = sharedTokens > 0 ? `, which knows about ${sharedTokens} tokens of the prompt` : ""
      yield* narrate(course, "choose_worker", `Chose worker '${worker.id}' of hive '${worker.hive}'${known}`)
      yield* attempts.run({
        operation: "complete",
        hiveId: worker.hive,
        json: JSON.stringify({
          operation: "complete",
          hive_id: worker.hive,
          model: request.model.id,
          worker_id: worker.id,
          api: request.api,
          body
        }),
        routing: Complete.routing,
        canMove: () => true,
        job,
        hasBegun: () => answer.hasBegun,
        take: (batch) => {
          const sanitized = batch.filter((event) => answer.observe(event))
          return emit(
            number === 1 ? sanitized : sanitized.map((event) => withoutId(answer.withCorrectedUsage(event)))
          )
        }
      })
    })

    const again = Effect.fnUntraced(function* (
      course: RequestRun,
      number: number,
      { worker }: Reservation,
      error: OperationError
    ) {
      const outcome = classifyFailure(error)
      if (outcome === "client") return yield* longer(course, number, worker, error)
      const { answer, avoid, job, request } = course
      // A failure of a healthy engine repeats on most others: one more worker gets the request, if it serves already.
      const isOfEngine = outcome === "engine"
      const hasTries = number < scheduler.attempts && !(isOfEngine && course.isEngineRetried)
      if (isOfEngine) course.isEngineRetried = true
      const written = yield* job.readEvents
      const said = answer.said(written.filter(({ id }) => id > course.before))
      const next = Effect.fnUntraced(function* (action: string, message: string) {
        avoid.push(keyOf(worker), ...(isHiveError(error) ? yield* workersOf(worker.hive) : []))
        if (action === "restart") {
          course.before = written.at(-1)?.id ?? 0
          course.answer = new AnswerContinuation(request)
          request.onRestarted(course.before)
        } else answer.next(said)
        yield* narrate(course, action, message)
        const body = action === "restart" ? request.body : said.body
        yield* attempt(course, { number: number + 1, body, servingOnly: isOfEngine })
      })
      const failure =
        answer.hasBegun && request.isStreamed
          ? new AnswerLost({ worker: worker.id, reason: error.message, cause: error })
          : error
      if (answer.hasBegun && said.isWhole) return
      // What was sent stays; of an answer that the client gets whole, nothing was.
      const mustContinue = answer.hasBegun && request.isStreamed
      if (!hasTries || (mustContinue && !said.isPossible)) return yield* Effect.fail(failure)
      const lost = `Worker '${worker.id}' was lost in the middle (${error.message})`
      const another = () => {
        if (!answer.hasBegun) {
          return next("retry", `Worker '${worker.id}' did not begin (${error.message}); trying another`)
        }
        return said.isPossible
          ? next("continue", `${lost}; another goes on after ${said.length} characters`)
          : next("restart", `${lost}; another answers the request again`)
      }
      yield* Effect.catchIf(
        another(),
        ({ _tag }) => isOfEngine && _tag === "NoOtherWorker",
        () => Effect.fail(failure)
      )
    })

    /** Tries a worker with a longer context, once, for a prompt that does not fit; else the error stands. */
    const longer = Effect.fnUntraced(function* (
      course: RequestRun,
      number: number,
      { contextSize, id }: WorkerView,
      error: OperationError
    ) {
      const { answer, isLongerSought, request } = course
      const code = error.failure?.code ?? error._tag
      const isTooLong = code === "ContextLengthExceeded" && !answer.hasBegun && !isLongerSought
      const need = isTooLong ? longerNeed(request, contextSize, error.message) : undefined
      if (need === undefined) return yield* Effect.fail(error)
      course.isLongerSought = true
      course.minContext = need
      yield* narrate(
        course,
        "retry",
        `The prompt is too long for worker '${id}' (${contextSize} tokens); looking for one with a context of ${need} tokens`
      )
      yield* attempt(course, { number: number + 1, body: request.body, servingOnly: false })
    })

    const run = (request: GatewayRequest, job: RunningJob, emit: Emit) => {
      const { key, priority, waitMs } = request
      const course: RequestRun = {
        request,
        job,
        emit,
        wish: {
          ...modelRequirements(request.model, request.prompt, request.body),
          capabilities: requiredCapabilities(request),
          key,
          priority,
          waitMs
        },
        answer: new AnswerContinuation(request),
        before: 0,
        avoid: [],
        startedAt: clock.currentTimeMillisUnsafe(),
        isEngineRetried: false,
        minContext: contextNeed(request),
        isLongerSought: false
      }
      return attempt(course, { number: 1, body: request.body, servingOnly: false })
    }

    // What hives have changes seldom, and is asked for with every request.
    let listed: {
      readonly stocks: ReadonlyArray<HiveSnapshot>
      readonly models: ReadonlyArray<ServedModel>
    } = {
      stocks: [],
      models: []
    }
    const modelsOf = (stocks: ReadonlyArray<HiveSnapshot>) => {
      if (listed.stocks !== stocks) {
        const stored = stocks.map(({ hive, inventory }) => ({ hive, ...inventory }))
        listed = { stocks, models: publicModels(stored, aliases) }
      }
      return listed.models
    }
    const models = (maxAge: number) => Effect.map(fleet.snapshot(maxAge), modelsOf)

    return Upstream.of({
      models: models(maxAge),
      // A model that was there a while ago most likely still is; one that is not known may have come a moment ago.
      find: (name) =>
        Effect.flatMap(models(Number.POSITIVE_INFINITY), (known) => {
          const found = findModel(known, name)
          return found === undefined
            ? Effect.flatMap(fleet.refresh, (stocks) => Effect.fromResult(pickModel(modelsOf(stocks), name)))
            : Effect.succeed(found)
        }),
      workers: Effect.map(fleet.snapshot(maxAge), (stocks) =>
        stocks.flatMap(({ hive, inventory }) => inventory.workers.map((worker) => ({ hive, worker })))
      ),
      complete: (request) => (job, emit) => run(request, job, emit)
    })
  })
)
