/**
 * The facts that decide where and how an operation runs. They are declared once, on its class.
 */
export interface Routing {
  /** The daemon that handles the operation; the queen forwards a hive's operations. */
  readonly runsOn: "queen" | "hive"
  /** Whether the request may be sent again before its first event. */
  readonly repeatable: boolean
  /** What happens to a running job after its last follower left and the grace period passed. */
  readonly whenAbandoned: "cancel" | "continue"
  /** Whether the operation changes something that outlives its job, so that the audit log records it. */
  readonly changesFleet?: boolean
  /** Whether the operation changes the hive's list of models. */
  readonly changesModels?: boolean
  /** Whether the job occupies a worker while it runs; `limits.jobs_running` counts only these jobs. */
  readonly occupiesWorker?: boolean
  /**
   * The queen's criterion for `hive_id: "auto"`: a worker with the model, memory for one more worker, or space for a
   * model's file. Without a criterion, `auto` is an error.
   */
  readonly placedBy?: "worker" | "room" | "file"
}

/** Whether the work may run twice while nothing of it was seen: if it is repeatable, or only generates an answer. */
export const mayRunTwice = ({ occupiesWorker, repeatable }: Pick<Routing, "occupiesWorker" | "repeatable">) =>
  repeatable || occupiesWorker === true

/** Reads on the queen; repeatable. */
export const queenQuery = {
  runsOn: "queen",
  repeatable: true,
  whenAbandoned: "continue"
} as const satisfies Routing

/** Changes something on the queen or, through it, on a hive's machine. */
export const queenCommand = {
  runsOn: "queen",
  repeatable: false,
  whenAbandoned: "continue",
  changesFleet: true
} as const satisfies Routing

/** Reads on a hive's machine through the queen, over ssh; not repeatable, because it may take long. */
export const queenProbe = { ...queenCommand, changesFleet: false } as const satisfies Routing

/** Reads on a hive; repeatable. */
export const hiveQuery = {
  runsOn: "hive",
  repeatable: true,
  whenAbandoned: "continue"
} as const satisfies Routing

/** Changes something on a hive; continues without followers. */
export const hiveCommand = {
  runsOn: "hive",
  repeatable: false,
  whenAbandoned: "continue",
  changesFleet: true
} as const satisfies Routing

/** Adds or removes a model of a hive; the queen has updated its list of models when the operation succeeds. */
export const hiveModelCommand = { ...hiveCommand, changesModels: true } as const satisfies Routing

/** Downloads a model to a hive; repeatable, because downloads resume and run once per model. */
export const hiveDownload = {
  ...hiveModelCommand,
  repeatable: true,
  placedBy: "file"
} as const satisfies Routing

/** Starts a worker on a hive. */
export const hiveSpawn = { ...hiveCommand, placedBy: "room" } as const satisfies Routing

/** Works on a hive for its followers only: cancelled when they have left. */
export const hiveAnswer = {
  runsOn: "hive",
  repeatable: false,
  whenAbandoned: "cancel"
} as const satisfies Routing

/** Generates on a worker of a hive. */
export const hiveGeneration = {
  ...hiveAnswer,
  occupiesWorker: true,
  placedBy: "worker"
} as const satisfies Routing

/** The routing of an operation that the queen does not know and forwards unchanged. */
export const unknownOperation = hiveCommand
