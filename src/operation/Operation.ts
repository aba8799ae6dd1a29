import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import { ModelDefinition } from "./CreatedModel.ts"
import {
  Alias,
  AliasOrLocalhost,
  CompletionApi,
  DeviceChoice,
  FilePath,
  HiveId,
  JobId,
  ModelName,
  Port,
  PositiveCount,
  Probability,
  Prompt,
  Temperature,
  Uint32,
  WorkerId,
  WorkerKind
} from "./fields.ts"
import {
  hiveAnswer,
  hiveCommand,
  hiveDownload,
  hiveGeneration,
  hiveModelCommand,
  hiveQuery,
  hiveSpawn,
  queenCommand,
  queenQuery
} from "./Routing.ts"

/** The fleet at a glance: hives, devices, workers, models and jobs. */
export class Status extends Schema.Class<Status>("Status")({
  operation: Schema.tag("status")
}) {
  static readonly routing = queenQuery
}

/** Why the scheduler chose what it chose for a job, or what it would choose now for a model. */
export class Explain extends Schema.Class<Explain>("Explain")({
  operation: Schema.tag("explain"),
  /** A job of an application; without it `model` says what is asked for. */
  job_id: Schema.optionalKey(JobId),
  model: Schema.optionalKey(ModelName),
  prompt: Schema.optionalKey(Prompt)
}) {
  static readonly routing = queenQuery
}

/** All hives that the queen knows. */
export class HiveList extends Schema.Class<HiveList>("HiveList")({
  operation: Schema.tag("hive_list")
}) {
  static readonly routing = queenQuery
}

/** What the queen knows of one hive. */
export class HiveGet extends Schema.Class<HiveGet>("HiveGet")({
  operation: Schema.tag("hive_get"),
  alias: AliasOrLocalhost
}) {
  static readonly routing = queenQuery
}

/** Asks one hive whether it is well. */
export class HiveStatus extends Schema.Class<HiveStatus>("HiveStatus")({
  operation: Schema.tag("hive_status"),
  alias: AliasOrLocalhost
}) {
  static readonly routing = queenQuery
}

/** Starts the daemon of a hive; one that runs already is a success. */
export class HiveStart extends Schema.Class<HiveStart>("HiveStart")({
  operation: Schema.tag("hive_start"),
  alias: AliasOrLocalhost
}) {
  static readonly routing = queenCommand
}

/** Stops the daemon of a hive and its workers; one that does not run is a success. */
export class HiveStop extends Schema.Class<HiveStop>("HiveStop")({
  operation: Schema.tag("hive_stop"),
  alias: AliasOrLocalhost
}) {
  static readonly routing = queenCommand
}

/** Brings rbee to another machine. */
export class HiveInstall extends Schema.Class<HiveInstall>("HiveInstall")({
  operation: Schema.tag("hive_install"),
  alias: Alias
}) {
  static readonly routing = queenCommand
}

/** Removes rbee from another machine. */
export class HiveUninstall extends Schema.Class<HiveUninstall>("HiveUninstall")({
  operation: Schema.tag("hive_uninstall"),
  alias: Alias
}) {
  static readonly routing = queenCommand
}

/** Asks a hive for its devices anew. */
export class HiveRefreshCapabilities extends Schema.Class<HiveRefreshCapabilities>("HiveRefreshCapabilities")(
  {
    operation: Schema.tag("hive_refresh_capabilities"),
    alias: Alias
  }
) {
  static readonly routing = queenCommand
}

/** Tries the way to another machine by ssh. */
export class SshTest extends Schema.Class<SshTest>("SshTest")({
  operation: Schema.tag("ssh_test"),
  alias: Alias
}) {
  static readonly routing = queenCommand
}

/** Takes hives over from an ssh configuration. */
export class HiveImportSsh extends Schema.Class<HiveImportSsh>("HiveImportSsh")({
  operation: Schema.tag("hive_import_ssh"),
  ssh_config_path: FilePath.pipe(
    Schema.withDecodingDefaultKey(Effect.succeed("~/.ssh/config")),
    Schema.withConstructorDefault(Effect.succeed("~/.ssh/config"))
  ),
  default_hive_port: Port.pipe(
    Schema.withDecodingDefaultKey(Effect.succeed(8081)),
    Schema.withConstructorDefault(Effect.succeed(8081))
  )
}) {
  static readonly routing = queenCommand
}

/** Starts a worker with a model; done when the worker answers. */
export class WorkerSpawn extends Schema.Class<WorkerSpawn>("WorkerSpawn")({
  operation: Schema.tag("worker_spawn"),
  hive_id: HiveId,
  model: ModelName,
  worker: WorkerKind,
  device: Uint32,
  /** Tokens that one request may have, prompt and answer together; the setting's when absent. */
  ctx_size: Schema.optionalKey(PositiveCount),
  /** Requests that are worked on at the same time; the setting's when absent. */
  parallel: Schema.optionalKey(PositiveCount)
}) {
  static readonly routing = hiveSpawn
}

/** The workers of a hive. */
export class WorkerList extends Schema.Class<WorkerList>("WorkerList")({
  operation: Schema.tag("worker_list"),
  hive_id: HiveId
}) {
  static readonly routing = hiveQuery
}

/** One worker of a hive. */
export class WorkerGet extends Schema.Class<WorkerGet>("WorkerGet")({
  operation: Schema.tag("worker_get"),
  hive_id: HiveId,
  id: WorkerId
}) {
  static readonly routing = hiveQuery
}

/** Stops a worker and forgets it. */
export class WorkerDelete extends Schema.Class<WorkerDelete>("WorkerDelete")({
  operation: Schema.tag("worker_delete"),
  hive_id: HiveId,
  id: WorkerId,
  /** Fails while the worker has requests; a hive of an earlier version stops it. */
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

/** The last lines of a worker's log, and with `follow` those to come until the worker is gone. */
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

/** Brings a model to a hive. */
export class ModelDownload extends Schema.Class<ModelDownload>("ModelDownload")({
  operation: Schema.tag("model_download"),
  hive_id: HiveId,
  model: ModelName
}) {
  static readonly routing = hiveDownload
}

/** Makes a model of a hive from another one there, whose weights it shares; one of the same name that was made so is replaced. */
export class ModelCreate extends Schema.Class<ModelCreate>("ModelCreate")({
  operation: Schema.tag("model_create"),
  hive_id: HiveId,
  id: ModelName,
  from: ModelName,
  ...ModelDefinition.fields
}) {
  static readonly routing = hiveModelCommand
}

/** The models on a hive. */
export class ModelList extends Schema.Class<ModelList>("ModelList")({
  operation: Schema.tag("model_list"),
  hive_id: HiveId
}) {
  static readonly routing = hiveQuery
}

/** One model on a hive, with what its file says of it. */
export class ModelGet extends Schema.Class<ModelGet>("ModelGet")({
  operation: Schema.tag("model_get"),
  hive_id: HiveId,
  id: ModelName,
  /** The context length that the memory is estimated for, in tokens. */
  ctx_size: Schema.optionalKey(PositiveCount)
}) {
  static readonly routing = hiveQuery
}

/** Removes a model from a hive. */
export class ModelDelete extends Schema.Class<ModelDelete>("ModelDelete")({
  operation: Schema.tag("model_delete"),
  hive_id: HiveId,
  id: ModelName
}) {
  static readonly routing = hiveModelCommand
}

/** Continues a prompt as it stands, token by token. */
export class Infer extends Schema.Class<Infer>("Infer")({
  operation: Schema.tag("infer"),
  hive_id: HiveId,
  model: ModelName,
  prompt: Prompt,
  max_tokens: Uint32,
  temperature: Temperature,
  top_p: Schema.optionalKey(Probability),
  top_k: Schema.optionalKey(Uint32),
  device: Schema.optionalKey(DeviceChoice),
  worker_id: Schema.optionalKey(WorkerId),
  stream: Schema.Boolean.pipe(
    Schema.withDecodingDefaultKey(Effect.succeed(true)),
    Schema.withConstructorDefault(Effect.succeed(true))
  )
}) {
  static readonly routing = hiveGeneration
}

/**
 * A request of an application, as the gateway sends it to a worker: `api` is the path below `/v1/`, `body` is what is
 * sent there, with the model's id and streaming put in by the hive. Its answer is `chunk` events that hold the worker's
 * data as it came, or a `result` for embeddings.
 */
export class Complete extends Schema.Class<Complete>("Complete")({
  operation: Schema.tag("complete"),
  hive_id: HiveId,
  model: ModelName,
  worker_id: Schema.optionalKey(WorkerId),
  api: CompletionApi,
  body: Schema.Record(Schema.String, Schema.Unknown)
}) {
  static readonly routing = hiveGeneration
}

/** Every operation that ships with rbee. */
export const Operation = Schema.Union([
  Status,
  Explain,
  HiveList,
  HiveGet,
  HiveStatus,
  HiveStart,
  HiveStop,
  HiveInstall,
  HiveUninstall,
  HiveRefreshCapabilities,
  SshTest,
  HiveImportSsh,
  WorkerSpawn,
  WorkerList,
  WorkerGet,
  WorkerDelete,
  WorkerRestart,
  WorkerLogs,
  ModelDownload,
  ModelCreate,
  ModelList,
  ModelGet,
  ModelDelete,
  Infer,
  Complete
]).pipe(Schema.toTaggedUnion("operation"))

export type Operation = typeof Operation.Type

type Cases = typeof Operation.cases

/** The names of the operations that the daemon of the given kind answers. */
export type NamesOf<RunsOn extends "queen" | "hive"> = {
  readonly [Name in keyof Cases]: Cases[Name]["routing"]["runsOn"] extends RunsOn ? Name : never
}[keyof Cases]

/** The operation of a name. */
export type OperationOf<Name extends keyof Cases> = Cases[Name]["Type"]

/** The name of an operation, as it stands on the wire. */
export const operationName = (operation: Operation) => operation.operation

/** Whether the queen forwards the operation to a hive. */
export const shouldForwardToHive = (operation: Operation) =>
  Operation.cases[operation.operation].routing.runsOn === "hive"

/** The hive that a forwarded operation is for. */
export const hiveId = (operation: Operation): string | undefined =>
  "hive_id" in operation ? operation.hive_id : undefined
