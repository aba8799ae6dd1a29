import { httpPool } from "./httpPool.ts"

/** The one HTTP client of a process that talks to hives. */
export const hivePool = httpPool
