import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import type * as ChildProcess from "effect/process/ChildProcess"
import type * as ChildProcessSpawner from "effect/process/ChildProcessSpawner"
import * as Ref from "effect/Ref"
import * as Stream from "effect/Stream"
import { systemProblem } from "../../settings/systemProblem.ts"
import { noSecrets } from "../../system/childEnvironment.ts"
import type { Backend } from "./Backend.ts"

/** One GPU as a tool tells of it; its index is the one by which the backend is told to use it. */
export interface Gpu {
  readonly backend: Backend
  readonly index: number
  readonly name: string
  readonly totalBytes: number
  readonly freeBytes: number
  readonly computeCapability: string | null
}

/** What one run of a tool gave: GPUs in the order of their index, and sentences about what was passed over. */
export interface Report {
  readonly gpus: ReadonlyArray<Gpu>
  readonly notes: ReadonlyArray<string>
}

/** A program that prints the GPUs of this machine. */
export interface DeviceTool {
  readonly name: string
  readonly command: ChildProcess.StandardCommand
  /** Reads what it printed to stdout, and never throws. */
  readonly parse: (output: string) => Report
}

const limit = "2 seconds"
const maxChunks = 16
const maxNotes = 8

/**
 * Makes the question for the GPUs that the tool knows. Each asking runs it, because memory that was free before
 * may not be now; only that there is no GPU is remembered, for 10 seconds. A run takes 2 seconds at most.
 * Whatever the tool does is logged once and is not an error.
 */
export const make = Effect.fn("DeviceTool.make")(function* (
  tool: DeviceTool,
  spawner: ChildProcessSpawner.ChildProcessSpawner["Service"]
) {
  const lastNotes = yield* Ref.make("")
  const ask = Effect.gen(function* () {
    const report = yield* run(tool, spawner)
    const notes = report.notes.slice(0, maxNotes).join("; ")
    if (notes !== (yield* Ref.getAndSet(lastNotes, notes)) && notes !== "") {
      yield* Effect.logWarning("output of a device tool passed over", { tool: tool.name, notes })
    }
    return report.gpus
  })
  return yield* Effect.cachedWithTTL(ask, (exit) =>
    Exit.isSuccess(exit) && exit.value.length === 0 ? "10 seconds" : 0
  )
})

// The tool runs in a fiber of its own: behind a broken driver it may not even die of SIGKILL, and nobody
// waits for that.
const run = Effect.fnUntraced(function* (
  { command, parse }: DeviceTool,
  spawner: ChildProcessSpawner.ChildProcessSpawner["Service"]
) {
  const fiber = yield* spawner
    .streamString(command)
    .pipe(Stream.take(maxChunks), Stream.mkString, Effect.forkDetach)
  return yield* Fiber.join(fiber).pipe(
    Effect.map(parse),
    Effect.timeoutOrElse({
      duration: limit,
      orElse: () => Effect.succeed<Report>({ gpus: [], notes: [`it did not answer within ${limit}`] })
    }),
    Effect.catchTag("PlatformError", (error) =>
      Effect.succeed<Report>({
        gpus: [],
        notes: error.reason._tag === "NotFound" ? [] : [`it could not be run: ${systemProblem(error)}`]
      })
    ),
    Effect.ensuring(Effect.forkDetach(Fiber.interrupt(fiber)))
  )
})

/** How every tool is run: it gets no input and no secrets, and dies half a second after it was told to end. */
export const runOptions = {
  stdin: "ignore",
  forceKillAfter: "500 millis",
  extendEnv: true,
  env: noSecrets
} as const

/** A foreign text as it may be shown: without control characters, and not longer than the given number of characters. */
export const sanitized = (text: string, most: number) =>
  text.trimStart().slice(0, most).replace(/\p{C}/gu, " ").trim()

/** The report of what was read: a GPU by its index, or a sentence about what is none. The first of an index counts. */
export const report = (read: ReadonlyArray<Gpu | string>): Report => {
  const gpus = new Map<number, Gpu>()
  const notes: Array<string> = []
  for (const one of read) {
    if (typeof one === "string") notes.push(one)
    else if (gpus.has(one.index)) notes.push(`'${one.name}' has the index ${one.index} of another`)
    else gpus.set(one.index, one)
  }
  return { gpus: [...gpus.values()].sort((left, right) => left.index - right.index), notes }
}
