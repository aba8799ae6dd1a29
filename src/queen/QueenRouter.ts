import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { Handlers } from "../job/Handlers.ts"
import { OperationRouter } from "../job/OperationRouter.ts"
import type { Work } from "../job/Submission.ts"
import { modelOf, type OperationRequest, readRequest } from "../operation/Catalog.ts"
import { FieldProblem, InvalidOperation, UnknownOperation } from "../operation/errors.ts"
import { type Routing, unknownOperation } from "../operation/Routing.ts"
import { Settings } from "../settings/Settings.ts"
import { AutoForwarder } from "./fleet/AutoForwarder.ts"
import { HiveForwarder } from "./forward/HiveForwarder.ts"
import { resumeHiveJob } from "./forward/resumeHiveJob.ts"
import { FleetView } from "./scheduler/FleetView.ts"

const router = "qn-router"

/** Replaces the model's alias by its id, which hives know; the rest of the request stays unchanged. */
const withModelId = (
  request: OperationRequest,
  aliases: Settings["Service"]["aliases"]
): OperationRequest => {
  const { model: name } = request.fields
  const alias = typeof name === "string" && Object.hasOwn(aliases, name) ? aliases[name] : undefined
  if (alias === undefined) return request
  const fields = { ...request.fields, model: alias.model }
  return { ...request, fields, json: JSON.stringify(fields) }
}

/**
 * Routes the queen's own operations to their handlers, and forwards operations of hives and unknown operations that name a
 * hive.
 */
export const queenRouter = Layer.effect(
  OperationRouter,
  Effect.gen(function* () {
    const handlers = yield* Handlers
    const forwarder = yield* HiveForwarder
    const auto = yield* AutoForwarder
    const { aliases } = yield* Settings
    const fleet = yield* FleetView
    // Before success is reported, so that the model can be used at once.
    const refreshModels = Effect.asVoid(fleet.refresh)

    const forwardTo =
      (hiveId: string, json: string, request: OperationRequest, routing: Routing): Work =>
      (job, emit) => {
        const forwarding = forwarder.forwardJson(
          { operation: request.name, hiveId, json, routing, job },
          emit
        )
        return routing.changesModels === true ? Effect.andThen(forwarding, refreshModels) : forwarding
      }

    const forward = Effect.fnUntraced(function* (
      request: OperationRequest,
      hiveId: string,
      routing: Routing
    ) {
      const { name: operation } = request
      const submission = { operation, model: modelOf(request), routing, router }
      if (hiveId !== "auto") {
        return { ...submission, hiveId, work: forwardTo(hiveId, request.json, request, routing) }
      }
      if (routing.placedBy === undefined) {
        const expected = "the id of a hive; 'auto' is for operations that any hive can do"
        const problem = new FieldProblem({
          field: "hive_id",
          expected,
          got: JSON.stringify(request.hiveId) ?? "nothing"
        })
        return yield* new InvalidOperation({ operation, problems: [problem] })
      }
      return { ...submission, work: auto.work(request, routing) }
    })

    return OperationRouter.of({
      resume: (job) => resumeHiveJob(forwarder, job),
      route: Effect.fnUntraced(function* (body) {
        const request = yield* Effect.fromResult(readRequest(body))
        const known = handlers.find(request.name)
        if (known === undefined) {
          if (request.hiveId !== undefined) return yield* forward(request, request.hiveId, unknownOperation)
          const catalog = yield* handlers.catalog
          return yield* new UnknownOperation({ operation: request.name, known: [...catalog.keys()] })
        }
        const work = yield* Effect.fromResult(known.prepare(request))
        const { routing } = known.operation
        if (work !== undefined) return { operation: request.name, routing, router, work }
        return yield* forward(withModelId(request, aliases), request.hiveId ?? "auto", routing)
      })
    })
  })
)
