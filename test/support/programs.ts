/**
 * The file of a program that tests start, bundled by `buildPrograms.ts` from the sources as they are: it starts in half
 * the CPU time of an unbundled one.
 */
const program = (name: string) => new URL(`../.programs/${name}.js`, import.meta.url).pathname

/** The worker. */
export const workerProgram = program("worker")

/** A hive as a process of its own; its arguments are in `serveHive.ts`. */
export const serveHiveProgram = program("serveHive")

/** The worker at the pace of a large model, so that a test can do something in the middle of an answer. */
export const slowWorkerProgram = program("slowWorker")

/** The same, slow enough for several answers at once on a busy machine. */
export const slowerWorkerProgram = program("slowerWorker")

/** The slow worker, which also takes 4 s to load its model. */
export const slowLoaderProgram = program("slowLoader")
