import * as Schema from "effect/Schema"
import { AuditList, Explain, Status } from "./fleetOperations.ts"
import {
  HiveGet,
  HiveImportSsh,
  HiveInstall,
  HiveList,
  HiveRefreshCapabilities,
  HiveStart,
  HiveStatus,
  HiveStop,
  HiveUninstall,
  SshTest
} from "./hiveOperations.ts"
import { Complete, Infer } from "./inferenceOperations.ts"
import { ModelCreate, ModelDelete, ModelDownload, ModelGet, ModelList } from "./modelOperations.ts"
import {
  WorkerDelete,
  WorkerGet,
  WorkerList,
  WorkerLogs,
  WorkerRestart,
  WorkerSpawn
} from "./workerOperations.ts"

/** Every operation that ships with rbee. */
export const Operation = Schema.Union([
  Status,
  Explain,
  AuditList,
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

/** The names of the operations that a daemon of the given kind handles. */
export type NamesOf<RunsOn extends "queen" | "hive"> = {
  readonly [Name in keyof Cases]: Cases[Name]["routing"]["runsOn"] extends RunsOn ? Name : never
}[keyof Cases]

/** The operation with the given name. */
export type OperationOf<Name extends keyof Cases> = Cases[Name]["Type"]

/** The name of an operation on the wire. */
export const operationName = (operation: Operation) => operation.operation

/** Whether the queen forwards the operation to a hive. */
export const shouldForwardToHive = (operation: Operation) =>
  Operation.cases[operation.operation].routing.runsOn === "hive"

/** The hive that a forwarded operation names; undefined for a queen's operation. */
export const hiveId = (operation: Operation): string | undefined =>
  "hive_id" in operation ? operation.hive_id : undefined
