import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { Handlers } from "../job/Handlers.ts"
import { OperationRouter } from "../job/OperationRouter.ts"
import { modelOf, readRequest } from "../operation/Catalog.ts"
import { UnknownOperation, WrongDaemon } from "../operation/errors.ts"
import { Settings } from "../settings/Settings.ts"
import { isResumable, ResumedAnswers } from "./inference/ResumedAnswers.ts"

const router = "hv-router"

/** Runs the operations of a hive with their handlers, also if they name another hive, and rejects those of the queen. */
export const hiveRouter = Layer.effect(
  OperationRouter,
  Effect.gen(function* () {
    const handlers = yield* Handlers
    const { hive } = yield* Settings
    const answers = yield* ResumedAnswers
    return OperationRouter.of({
      resume: ({ facts: { operation } }) =>
        isResumable(operation) ? (job, emit) => answers.resume(operation, job, emit) : undefined,
      route: Effect.fnUntraced(function* (body) {
        const request = yield* Effect.fromResult(readRequest(body))
        const operation = request.name
        const known = handlers.find(operation)
        if (known === undefined) {
          const catalog = yield* handlers.catalog
          const own = [...catalog].filter(([, { routing }]) => routing.runsOn === "hive")
          return yield* new UnknownOperation({ operation, known: own.map(([name]) => name) })
        }
        const { routing } = known.operation
        if (routing.runsOn === "queen") return yield* new WrongDaemon({ operation, runsOn: "queen" })
        const work = yield* Effect.fromResult(known.prepare(request))
        if (work === undefined) return yield* new WrongDaemon({ operation, runsOn: "queen" })
        return { operation, model: modelOf(request), hiveId: hive.id, routing, router, work }
      })
    })
  })
)
