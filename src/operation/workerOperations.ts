import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import { HiveId, ModelName, PositiveCount, Uint32, WorkerId, WorkerKind } from "./fields.ts"
import { hiveAnswer, hiveCommand, hiveQuery, hiveSpawn } from "./Routing.ts"

/** Starts a worker with a model; ends when the worker is ready. */
export class WorkerSpawn extends Schema.Class<WorkerSpawn>("WorkerSpawn")({
  operation: Schema.tag("worker_spawn"),
  hive_id: HiveId,
  model: ModelName,
  worker: WorkerKind,
  /** Device index. Default: the index in `worker`, else the hive chooses. */
  device: Schema.optionalKey(Uint32),
  /** Context length in tokens: prompt plus answer of one request. Default: the setting. */
  ctx_size: Schema.optionalKey(PositiveCount),
  /** Number of concurrent requests. Default: the setting. */
  parallel: Schema.optionalKey(PositiveCount)
}) {
  static readonly routing = hiveSpawn
}

/** Lists the workers of a hive. */
export class WorkerList extends Schema.Class<WorkerList>("WorkerList")({
  operation: Schema.tag("worker_list"),
  hive_id: HiveId
}) {
  static readonly routing = hiveQuery
}

/** Returns one worker of a hive. */
export class WorkerGet extends Schema.Class<WorkerGet>("WorkerGet")({
  operation: Schema.tag("worker_get"),
  hive_id: HiveId,
  id: WorkerId
}) {
  static readonly routing = hiveQuery
}

/** Stops a worker and deletes its record. */
export class WorkerDelete extends Schema.Class<WorkerDelete>("WorkerDelete")({
  operation: Schema.tag("worker_delete"),
  hive_id: HiveId,
  id: WorkerId,
  /** If true, fails while the worker has requests; an older hive ignores this field. */
  only_idle: Schema.optionalKey(Schema.Boolean)
}) {
  static readonly routing = hiveCommand
}

/** Stops a worker's process and starts it again with the same model. */
export class WorkerRestart extends Schema.Class<WorkerRestart>("WorkerRestart")({
  operation: Schema.tag("worker_restart"),
  hive_id: HiveId,
  id: WorkerId
}) {
  static readonly routing = hiveCommand
}

/** Returns the last lines of a worker's log; with `follow`, also new lines until the worker exits. */
export class WorkerLogs extends Schema.Class<WorkerLogs>("WorkerLogs")({
  operation: Schema.tag("worker_logs"),
  hive_id: HiveId,
  id: WorkerId,
  follow: Schema.Boolean.pipe(
    Schema.withDecodingDefaultKey(Effect.succeed(false)),
    Schema.withConstructorDefault(Effect.succeed(false))
  ),
  lines: Uint32.pipe(
    Schema.withDecodingDefaultKey(Effect.succeed(200)),
    Schema.withConstructorDefault(Effect.succeed(200))
  )
}) {
  static readonly routing = hiveAnswer
}
