import { httpPool } from "./httpPool.ts"

/** The HTTP client that a process uses for all hives. */
export const hivePool = httpPool
