import * as Schema from "effect/Schema"
import { HiveId, WorkerId } from "./fields.ts"

const absentOrNull = <S extends Schema.Top>(schema: S) => Schema.optionalKey(Schema.NullOr(schema))

/** A worker in a heartbeat of its hive. Times are ISO 8601 in UTC. */
export const WorkerHeartbeat = Schema.Struct({
  worker_id: WorkerId,
  state: Schema.String,
  last_heartbeat: absentOrNull(Schema.String),
  health_status: absentOrNull(Schema.String),
  url: absentOrNull(Schema.String),
  model_id: absentOrNull(Schema.String),
  /** Requests that the worker computes now; absent from older hives. */
  busy: absentOrNull(Schema.Finite)
})

const maxWorkers = 1024

const HttpUrl = Schema.String.check(
  Schema.isPattern(/^https?:\/\/[A-Za-z0-9.:[\]_-]{1,255}(?:\/[A-Za-z0-9._~-]{1,64}){0,8}\/?$/)
)

/** The periodic report of a hive to its queen. */
export const Heartbeat = Schema.Struct({
  hive_id: HiveId,
  /** Changes each time the hive's daemon starts; absent from older hives. */
  instance: absentOrNull(Schema.String.check(Schema.isMaxLength(64))),
  timestamp: absentOrNull(Schema.String),
  /** The base URL of the hive as the queen can reach it; absent: the address of the sender, port 8081. */
  url: absentOrNull(HttpUrl),
  workers: Schema.Array(WorkerHeartbeat).check(Schema.isMaxLength(maxWorkers))
})
export type Heartbeat = typeof Heartbeat.Type
