import { httpPool } from "./httpPool.ts"

/** The HTTP client that a hive uses for its workers and its queen. */
export const workerPool = httpPool
