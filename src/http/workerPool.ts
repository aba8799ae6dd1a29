import { httpPool } from "./httpPool.ts"

/** The one HTTP client of a hive, for its workers and its queen. */
export const workerPool = httpPool
