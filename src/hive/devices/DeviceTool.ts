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

/** One GPU in a tool's output; `index` selects it in its backend. */
export interface Gpu {
  readonly backend: Backend
  readonly index: number
  readonly name: string
  readonly totalBytes: number
  readonly freeBytes: number
  readonly computeCapability: string | null
}

/** The result of one run of a tool: GPUs in the order of their index, and notes about skipped output. */
export interface Report {
  readonly gpus: ReadonlyArray<Gpu>
  readonly notes: ReadonlyArray<string>
}

/** A program that prints the GPUs of this machine. */
export interface DeviceTool {
  readonly name: string
  readonly command: ChildProcess.StandardCommand
  /** Reads the tool's stdout; never throws. */
  readonly parse: (output: string) => Report
}

const limit = "2 seconds"
const maxChunks = 16
const maxNotes = 8

/**
 * An effect that lists the tool's GPUs. Each evaluation runs the tool, because free memory changes; only an empty list is
 * cached, for 10 seconds. A run takes at most 2 seconds. Problems are logged once and are not errors.
 */
export const make = Effect.fn("DeviceTool.make")(function* (
  tool: DeviceTool,
  spawner: ChildProcessSpawner.ChildProcessSpawner["Service"]
) {
  const lastNotes = yield* Ref.make("")
  const list = Effect.gen(function* () {
    const report = yield* run(tool, spawner)
    const notes = report.notes.slice(0, maxNotes).join("; ")
    if (notes !== (yield* Ref.getAndSet(lastNotes, notes)) && notes !== "") {
      yield* Effect.logWarning("skipped output of a device tool", { tool: tool.name, notes })
    }
    return report.gpus
  })
  return yield* Effect.cachedWithTTL(list, (exit) =>
    Exit.isSuccess(exit) && exit.value.length === 0 ? "10 seconds" : 0
  )
})

// The tool runs in a fiber of its own, because with a broken driver it may not even end on SIGKILL.
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

/** Options of every tool: no input, no secrets, and SIGKILL half a second after SIGTERM. */
export const runOptions = {
  stdin: "ignore",
  forceKillAfter: "500 millis",
  extendEnv: true,
  env: noSecrets
} as const

/** A foreign text for messages: without control characters, and at most `maxLength` characters long. */
export const sanitized = (text: string, maxLength: number) =>
  text.trimStart().slice(0, maxLength).replace(/\p{C}/gu, " ").trim()

/** The report of a tool's entries: GPUs, or notes about unusable entries. The first GPU with an index wins. */
export const report = (read: ReadonlyArray<Gpu | string>): Report => {
  const gpus = new Map<number, Gpu>()
  const notes: Array<string> = []
  for (const one of read) {
    if (typeof one === "string") notes.push(one)
    else if (gpus.has(one.index)) notes.push(`'${one.name}' has the same index ${one.index} as another GPU`)
    else gpus.set(one.index, one)
  }
  return { gpus: [...gpus.values()].sort((left, right) => left.index - right.index), notes }
}
