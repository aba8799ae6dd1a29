/**
 * The facts about an operation that decide where and how it runs. They stand once, on its class.
 */
export interface Routing {
  /** The daemon whose handler answers the operation; the queen forwards those of a hive. */
  readonly runsOn: "queen" | "hive"
  /** Whether the same request may be sent again when nothing of its answer has arrived. */
  readonly repeatable: boolean
  /** What happens to a running job when the last of its followers has left and its grace has passed. */
  readonly whenAbandoned: "cancel" | "continue"
  /** Whether the hive has other models afterwards. */
  readonly changesModels?: boolean
  /** Whether a worker is at work as long as it runs: `limits.jobs_running` bounds these, and nothing else waits for it. */
  readonly occupiesWorker?: boolean
  /**
   * By what the queen chooses the hive when the operation names `auto`: a worker with the model, room for one more worker,
   * or a place for a model's file. Without it, `auto` is refused.
   */
  readonly placedBy?: "worker" | "room" | "file"
}

/** Only reads: may be asked again. */
export const queenQuery = {
  runsOn: "queen",
  repeatable: true,
  whenAbandoned: "continue"
} as const satisfies Routing

/** Changes something by the queen's own hand. */
export const queenCommand = {
  runsOn: "queen",
  repeatable: false,
  whenAbandoned: "continue"
} as const satisfies Routing

/** Only reads from a hive: may be asked again. */
export const hiveQuery = {
  runsOn: "hive",
  repeatable: true,
  whenAbandoned: "continue"
} as const satisfies Routing

/** Changes something on a hive, and goes on when nobody looks. */
export const hiveCommand = {
  runsOn: "hive",
  repeatable: false,
  whenAbandoned: "continue"
} as const satisfies Routing

/** Adds or removes models of a hive: the queen knows of it when it reports success. */
export const hiveModelCommand = { ...hiveCommand, changesModels: true } as const satisfies Routing

/** Brings a model to a hive. Downloads resume and are single-flight, so that the same may be asked for again. */
export const hiveDownload = {
  ...hiveModelCommand,
  repeatable: true,
  placedBy: "file"
} as const satisfies Routing

/** Starts a worker on a hive. */
export const hiveSpawn = { ...hiveCommand, placedBy: "room" } as const satisfies Routing

/** Works on a hive for somebody who waits for it, and is of no use to anybody else. */
export const hiveAnswer = {
  runsOn: "hive",
  repeatable: false,
  whenAbandoned: "cancel"
} as const satisfies Routing

/** Has a worker of a hive generate. */
export const hiveGeneration = {
  ...hiveAnswer,
  occupiesWorker: true,
  placedBy: "worker"
} as const satisfies Routing

/** What is assumed of an operation that this daemon does not know and passes on. */
export const unknownOperation = hiveCommand
