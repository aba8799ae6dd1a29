import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Stream from "effect/Stream"
import { Handlers } from "../job/Handlers.ts"
import { JobEvent } from "../job/JobEvent.ts"
import { Jobs } from "../job/Jobs.ts"
import type { Work } from "../job/Submission.ts"
import { OperationRouter } from "../job/OperationRouter.ts"
import { type OperationRequest, readRequest } from "../operation/Catalog.ts"
import { UnknownOperation } from "../operation/errors.ts"
import { type Routing, unknownOperation } from "../operation/Routing.ts"
import { chooseHive } from "./chooseHive.ts"
import { HiveNotFound } from "./errors.ts"
import { HiveForwarder } from "./HiveForwarder.ts"
import { HiveRegistry } from "./HiveRegistry.ts"
import { FleetView } from "./scheduler/FleetView.ts"

const router = "qn-router"

/**
 * Answers the queen's own operations by their handlers and forwards the others: those that its catalog says run on a
 * hive, and those that it does not know but that name a hive.
 */
export const queenRouter = Layer.effect(
  OperationRouter,
  Effect.gen(function* () {
    const handlers = yield* Handlers
    const forwarder = yield* HiveForwarder
    const registry = yield* HiveRegistry
    const jobs = yield* Jobs
    const fleet = yield* FleetView
    // Before success is reported, so that the model can be asked for at once.
    const knowModels = Stream.fromEffectDrain(fleet.refresh)

    const choose = Effect.fn("QueenRouter.choose")(function* (request: OperationRequest) {
      const hives = yield* registry.list
      const running = (yield* jobs.list).filter(({ state }) => state === "running")
      const candidates = hives.map((hive) => ({
        hive,
        running: running.filter(({ hive_id }) => hive_id === hive.record.alias).length
      }))
      const { model } = request.fields
      const chosen = chooseHive(candidates, typeof model === "string" ? model : undefined)
      if (chosen === undefined) return yield* new HiveNotFound({ hive: "auto", known: [] })
      return chosen.record.alias
    })

    const forwardTo =
      (hiveId: string, json: string, request: OperationRequest, routing: Routing): Work =>
      (job) => {
        const events = forwarder.forwardJson({ operation: request.name, hiveId, json, routing, job })
        return routing.changesModels === true ? Stream.concat(events, knowModels) : events
      }

    const forwardToChosen =
      (request: OperationRequest, routing: Routing): Work =>
      (job) =>
        Stream.unwrap(
          Effect.map(choose(request), (hiveId) => {
            const json = JSON.stringify({ ...request.fields, hive_id: hiveId })
            return Stream.concat(
              Stream.make(JobEvent.narration("qn-sched", "choose_hive", `Chose hive '${hiveId}'`, job.id)),
              forwardTo(hiveId, json, request, routing)(job)
            )
          })
        )

    const forward = (request: OperationRequest, hiveId: string, routing: Routing) => ({
      operation: request.name,
      hiveId: hiveId === "auto" ? undefined : hiveId,
      routing,
      router,
      work:
        hiveId === "auto"
          ? forwardToChosen(request, routing)
          : forwardTo(hiveId, request.json, request, routing)
    })

    return OperationRouter.of({
      route: Effect.fnUntraced(function* (body) {
        const request = yield* Effect.fromResult(readRequest(body))
        const known = handlers.find(request.name)
        if (known === undefined) {
          if (request.hiveId !== undefined) return forward(request, request.hiveId, unknownOperation)
          const catalog = yield* handlers.catalog
          return yield* new UnknownOperation({ operation: request.name, known: [...catalog.keys()] })
        }
        const work = yield* Effect.fromResult(known.prepare(request))
        const { routing } = known.operation
        if (work !== undefined) return { operation: request.name, routing, router, work }
        return forward(request, request.hiveId ?? "auto", routing)
      })
    })
  })
)
