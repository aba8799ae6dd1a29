import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as HttpServerRequest from "effect/http/HttpServerRequest"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import { type AuditEntry, AuditLog, type NewEntry } from "../access/AuditLog.ts"
import { redact } from "../http/Redaction.ts"
import { OperationRouter } from "../job/OperationRouter.ts"
import type { Submission, Work } from "../job/Submission.ts"
import { Caller } from "./Caller.ts"

const maxText = 500

const readRequest = Schema.decodeUnknownOption(
  Schema.fromJsonString(Schema.Record(Schema.String, Schema.Json))
)

const shorten = (value: Schema.Json): Schema.Json => {
  if (typeof value === "string") {
    const text = redact(value)
    return text.length > maxText ? `${text.slice(0, maxText)}…` : text
  }
  return typeof value === "object" && value !== null && JSON.stringify(value).length > maxText
    ? "(too long)"
    : value
}

/** The fields of a request without credentials; long ones are cut. */
const fieldsOf = (body: string): AuditEntry["request"] =>
  Option.match(readRequest(body), {
    onNone: () => ({}),
    onSome: (fields) =>
      Object.fromEntries(Object.entries(fields).map(([name, value]) => [name, shorten(value)]))
  })

/** Who sends the current request, and from where; the daemon itself outside of a request. */
const sender = Effect.gen(function* () {
  const caller = Option.getOrUndefined(yield* Effect.serviceOption(Caller))
  const request = Option.getOrUndefined(yield* Effect.serviceOption(HttpServerRequest.HttpServerRequest))
  const address = request === undefined ? undefined : Option.getOrUndefined(request.remoteAddress)
  return { caller: caller?.name ?? "daemon", ...(address === undefined ? {} : { address }) }
})

const outcomeOf = (exit: Exit.Exit<void, { readonly _tag: string; readonly message: string }>) => {
  if (Exit.isSuccess(exit)) return "done"
  const error = Option.getOrUndefined(Exit.findErrorOption(exit))
  if (error === undefined) return Exit.hasInterrupts(exit) ? "cancelled" : "failed"
  return error._tag === "JobCancelled" ? "cancelled" : `failed: ${redact(error.message)}`
}

/** Records the work before it begins, and its outcome. */
const recorded =
  (audit: AuditLog["Service"], entry: Omit<NewEntry, "job_id">, work: Work): Work =>
  (job, emit) =>
    audit.begin({ ...entry, job_id: job.id }).pipe(
      Effect.andThen(work(job, emit)),
      Effect.onExit((exit) => audit.end(job.id, outcomeOf(exit)))
    )

/** Wraps a daemon's router: the audit log records the operations that change something, with the sender and the outcome. */
export const auditedRouter = <E, R>(router: Layer.Layer<OperationRouter, E, R>) =>
  Layer.effect(
    OperationRouter,
    Effect.gen(function* () {
      const audit = yield* AuditLog
      const router = yield* OperationRouter
      return OperationRouter.of({
        ...router,
        route: Effect.fnUntraced(function* (body) {
          const submission: Submission = yield* router.route(body)
          const { hiveId, operation, routing, work } = submission
          if (routing.changesFleet !== true) return submission
          const entry = {
            ...(yield* sender),
            operation,
            ...(hiveId === undefined ? {} : { hive_id: hiveId }),
            request: fieldsOf(body)
          }
          return { ...submission, work: recorded(audit, entry, work) }
        })
      })
    })
  ).pipe(Layer.provide(router))
