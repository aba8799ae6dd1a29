import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as FiberSet from "effect/FiberSet"
import * as Layer from "effect/Layer"
import * as Predicate from "effect/Predicate"
import type * as Scope from "effect/Scope"
import { type ServedModel, Upstream } from "../../gateway/upstream/Upstream.ts"
import type { OperationError } from "../../job/errors.ts"
import { JobEvent } from "../../job/log/JobEvent.ts"
import type { Emit, RunningJob, Work } from "../../job/Submission.ts"
import { CapabilityMissing } from "../../operation/Capabilities.ts"
import type { OperationRequest } from "../../operation/Catalog.ts"
import type { Routing } from "../../operation/Routing.ts"
import { Settings } from "../../settings/Settings.ts"
import { ConnectionFailed } from "../forward/errors.ts"
import { HiveRegistry } from "../registry/HiveRegistry.ts"
import { NoHiveAnswers, NotPlaceable } from "../scheduler/errors.ts"
import { keyOf } from "../scheduler/Fleet.ts"
import { FleetView, type HiveSnapshot } from "../scheduler/FleetView.ts"
import type { Outcome } from "../scheduler/messages.ts"
import { Scheduler } from "../scheduler/Scheduler.ts"
import { classifyFailure } from "./classifyFailure.ts"
import { HiveAttempt, isHiveError } from "./HiveAttempt.ts"
import { modelRequirements } from "./modelRequirements.ts"

/** Forwards operations whose `hive_id` is `auto`. */
export class AutoForwarder extends Context.Service<
  AutoForwarder,
  {
    /**
     * The work of such an operation: the scheduler chooses the hive, as it does for the gateway. A hive that cannot be
     * reached is given up for another one; a hive that is lost later only if the operation may be repeated, or generates,
     * and nothing of its answer has come.
     */
    readonly work: (request: OperationRequest, routing: Routing) => Work
  }
>()("rbee/queen/fleet/AutoForwarder") {
  static readonly layerNoDeps = Layer.effect(
    AutoForwarder,
    Effect.suspend(() => make)
  )
}

/** A hive that was chosen; `worker` is what the scheduler has reserved there, if anything. */
interface Chosen {
  readonly hive: string
  readonly worker?: string
  readonly ended: (outcome: Outcome) => Effect.Effect<void>
}

/** An operation on its way to its answer. */
interface OperationRun {
  readonly request: OperationRequest
  readonly routing: Routing
  readonly job: RunningJob
  readonly emit: Emit
  readonly avoidedHives: Set<string>
  readonly avoidedWorkers: Array<string>
  hasBegun: boolean
}

const actor = "qn-sched"
const maxAge = 1_000

/** What an answer is made of; narration only says that it is on its way. */
const isAnswer = ({ kind }: JobEvent) => kind !== "narration"

const withoutId = ({ json, kind }: JobEvent) => new JobEvent(kind, json)

const textOf = (value: unknown) => (typeof value === "string" ? value : undefined)

const numberOf = (value: unknown) => (typeof value === "number" ? value : undefined)

/** The device that `worker` and `device` name, as the scheduler calls it; undefined when the hive is to choose. */
const deviceOf = ({ device, worker }: OperationRequest["fields"]) => {
  const kind = textOf(worker)?.toLowerCase() ?? "auto"
  if (/^(?:cpu|gpu)-\d+$/.test(kind)) return kind
  if (kind === "cpu") return "cpu-0"
  const index = numberOf(device)
  if (["gpu", "cuda", "metal", "vulkan", "rocm"].includes(kind)) return `gpu-${index ?? 0}`
  return index === undefined ? undefined : String(index)
}

/** How much a hive's largest device can hold, a GPU's before a CPU's: where models are best kept. */
const capacityOf = ({ inventory: { devices } }: HiveSnapshot) =>
  devices
    .filter(({ usable }) => usable)
    .reduce(
      (most, { device_type, total_bytes }) => Math.max(most, total_bytes * (device_type === "gpu" ? 1e6 : 1)),
      0
    )

const wasDelivered = (error: OperationError) =>
  !(error instanceof ConnectionFailed) || error.reason === "reset"

const make = Effect.gen(function* () {
  const upstream = yield* Upstream
  const fleet = yield* FleetView
  const schedule = yield* Scheduler
  const registry = yield* HiveRegistry
  const attempts = yield* HiveAttempt
  const { scheduler } = yield* Settings
  const runAside = yield* FiberSet.makeRuntime<never, void, never>()

  const narrate = ({ emit, job }: OperationRun, action: string, message: string) =>
    emit([JobEvent.narration(actor, action, message, job.id)])

  const plainly = (hive: string): Chosen => ({ hive, ended: () => Effect.void })

  /** Of the hives that tell no inventory, older ones: one that has the model loaded, else any that is well. */
  const withoutInventory = Effect.fnUntraced(function* (
    model: string | undefined,
    { avoidedHives }: OperationRun
  ) {
    const stocks = yield* fleet.snapshot(maxAge)
    const mute = (yield* registry.list).filter(
      ({ record }) =>
        record.state === "active" &&
        !avoidedHives.has(record.alias) &&
        !stocks.some(({ away, hive }) => hive === record.alias && away === undefined)
    )
    const loaded = mute.find(({ workers }) => workers.some(({ model_id }) => model_id === model))
    return loaded ?? mute[0]
  })

  const served = (name: string, course: OperationRun) =>
    Effect.catch(upstream.find(name), (error) =>
      Effect.flatMap(withoutInventory(name, course), (hive) =>
        hive === undefined ? Effect.fail(error) : Effect.succeed(hive.record.alias)
      )
    )

  const withWorker = Effect.fnUntraced(function* (
    model: ServedModel,
    course: OperationRun,
    attempt: number
  ): Effect.fn.Return<Chosen, OperationError, Scope.Scope> {
    const { avoidedWorkers, job, request } = course
    const { body, device, max_tokens, prompt, worker_id } = request.fields
    if (typeof worker_id === "string") {
      const stocks = yield* fleet.snapshot(maxAge)
      const holder = stocks.find(({ inventory }) =>
        inventory.workers.some((one) => one.worker_id === worker_id)
      )
      if (holder !== undefined) return plainly(holder.hive)
    }
    const asked = Predicate.isReadonlyObject(body) ? body : { max_tokens }
    const text = textOf(prompt) ?? JSON.stringify(body ?? "")
    const wish = modelRequirements(model, text, asked)
    const turn = yield* schedule.reserve(
      {
        ...wish,
        device: deviceOf(typeof device === "string" ? { worker: device } : { device }) ?? wish.device,
        id: job.id,
        key: "",
        priority: 0,
        attempt,
        avoid: avoidedWorkers
      },
      (sentence) => void runAside(Effect.ignore(narrate(course, "wait", sentence)))
    )
    return { hive: turn.worker.hive, worker: keyOf(turn.worker), ended: turn.release }
  })

  const withRoom = Effect.fnUntraced(function* (model: ServedModel, { request }: OperationRun) {
    const { ctx_size, parallel } = request.fields
    const decision = yield* schedule.place({
      ...modelRequirements(model, "", {}),
      device: deviceOf(request.fields),
      contextSize: numberOf(ctx_size),
      parallel: numberOf(parallel)
    })
    if (decision._tag === "Place") return plainly(decision.hive)
    if (decision._tag === "Incapable") {
      return yield* new CapabilityMissing({ model: model.id, capability: decision.capability })
    }
    return yield* new NotPlaceable({
      model: model.id,
      reason: decision._tag === "Run" ? "no device was found" : decision.reason
    })
  })

  /** Always the same hive as long as it is there, so that a download that broke off is resumed. */
  const withSpace = Effect.fnUntraced(function* (model: string | undefined, course: OperationRun) {
    const stocks = (yield* fleet.snapshot(maxAge)).filter(
      ({ away, hive }) => away === undefined && !course.avoidedHives.has(hive)
    )
    const holder = stocks.find(({ inventory }) => inventory.models.some(({ id }) => id === model))
    const [best] = stocks.toSorted(
      (left, right) => capacityOf(right) - capacityOf(left) || (left.hive < right.hive ? -1 : 1)
    )
    const hive = (holder ?? best)?.hive ?? (yield* withoutInventory(model, course))?.record.alias
    return hive === undefined ? yield* new NoHiveAnswers() : plainly(hive)
  })

  const choose = Effect.fnUntraced(function* (
    course: OperationRun,
    attempt: number
  ): Effect.fn.Return<Chosen, OperationError, Scope.Scope> {
    const { request, routing } = course
    const name = textOf(request.fields["model"])
    if (name === undefined || routing.placedBy === "file") return yield* withSpace(name, course)
    const model = yield* served(name, course)
    if (typeof model === "string") return plainly(model)
    return yield* routing.placedBy === "room" ? withRoom(model, course) : withWorker(model, course, attempt)
  })

  const mayTryElsewhere = (error: OperationError, { hasBegun, routing }: OperationRun, attempt: number) =>
    !hasBegun &&
    attempt < scheduler.attempts &&
    isHiveError(error) &&
    (!wasDelivered(error) || routing.repeatable || routing.occupiesWorker === true)

  const attempt = Effect.fnUntraced(function* (
    course: OperationRun,
    number: number
  ): Effect.fn.Return<void, OperationError, Scope.Scope> {
    const { avoidedHives, avoidedWorkers, emit, job, request, routing } = course
    const { ended, hive, worker } = yield* choose(course, number)
    yield* narrate(course, "choose_hive", `Chose hive '${hive}'`)
    const error = yield* attempts
      .run({
        operation: request.name,
        hiveId: hive,
        json: JSON.stringify({ ...request.fields, hive_id: hive }),
        routing,
        canMove: () => !course.hasBegun && (routing.repeatable || routing.occupiesWorker === true),
        job,
        hasBegun: () => course.hasBegun,
        take: (events) => {
          course.hasBegun ||= events.some(isAnswer)
          return emit(number === 1 ? events : events.map(withoutId))
        }
      })
      .pipe(
        Effect.as(undefined),
        Effect.catch((error) => Effect.succeed(error))
      )
    yield* ended(error === undefined ? "ok" : classifyFailure(error))
    if (error === undefined) return
    if (!mayTryElsewhere(error, course, number)) return yield* Effect.fail(error)
    avoidedHives.add(hive)
    if (worker !== undefined) avoidedWorkers.push(worker)
    yield* fleet.snapshot(0)
    yield* narrate(course, "retry", `Hive '${hive}' did not begin (${error.message}); trying another`)
    yield* attempt(course, number + 1)
  })

  return AutoForwarder.of({
    work: (request, routing) => (job, emit) => {
      const course: OperationRun = {
        request,
        routing,
        job,
        emit,
        avoidedHives: new Set(),
        avoidedWorkers: [],
        hasBegun: false
      }
      const done = routing.changesModels === true ? Effect.asVoid(fleet.refresh) : Effect.void
      return Effect.scoped(Effect.andThen(attempt(course, 1), done))
    }
  })
})
