import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import { JobId, ModelName, PositiveCount, Prompt, UtcTime } from "./fields.ts"
import { queenQuery } from "./Routing.ts"

/** The fleet at a glance: hives, devices, workers, models and jobs. */
export class Status extends Schema.Class<Status>("Status")({
  operation: Schema.tag("status")
}) {
  static readonly routing = queenQuery
}

/** The scheduler's decision for a job, or the decision that it would make now for a model. */
export class Explain extends Schema.Class<Explain>("Explain")({
  operation: Schema.tag("explain"),
  /** The job of an application's request; without it, `model` is required. */
  job_id: Schema.optionalKey(JobId),
  model: Schema.optionalKey(ModelName),
  prompt: Schema.optionalKey(Prompt)
}) {
  static readonly routing = queenQuery
}

/** The operations that changed something, or were meant to, with the caller and the job of each. */
export class AuditList extends Schema.Class<AuditList>("AuditList")({
  operation: Schema.tag("audit_list"),
  /** The first time to list. */
  since: Schema.optionalKey(UtcTime),
  /** The number of entries to list at most, the newest ones. */
  limit: PositiveCount.pipe(
    Schema.withDecodingDefaultKey(Effect.succeed(100)),
    Schema.withConstructorDefault(Effect.succeed(100))
  )
}) {
  static readonly routing = queenQuery
}
