import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Ref from "effect/Ref"
import * as Stream from "effect/Stream"
import * as ChildProcess from "effect/process/ChildProcess"
import type * as ChildProcessSpawner from "effect/process/ChildProcessSpawner"

/** One NVIDIA GPU, its index in the order of the bus. */
export interface Gpu {
  readonly index: number
  readonly name: string
  readonly totalBytes: number
  readonly freeBytes: number
  readonly computeCapability: string | null
}

/** What one run of the tool gave: GPUs, and sentences about what was passed over. */
export interface Report {
  readonly gpus: ReadonlyArray<Gpu>
  readonly notes: ReadonlyArray<string>
}

const command = ChildProcess.make(
  "nvidia-smi",
  ["--query-gpu=index,name,memory.total,memory.free,compute_cap", "--format=csv,noheader,nounits"],
  { stdin: "ignore", forceKillAfter: "500 millis" }
)
const limit = "2 seconds"
const mostChunks = 16
const mostGpus = 256
const mebi = 1024 * 1024

/**
 * Makes the question for the machine's NVIDIA GPUs. Each asking runs the tool, because memory that was free
 * before may not be now; only that there is no GPU is remembered, for 10 seconds. Whatever the tool does is
 * logged once and is not an error.
 */
export const make = Effect.fn("NvidiaSmi.make")(function* (
  spawner: ChildProcessSpawner.ChildProcessSpawner["Service"]
) {
  const lastNotes = yield* Ref.make("")
  const ask = Effect.gen(function* () {
    const report = yield* run(spawner)
    const notes = report.notes.join("; ")
    if (notes !== (yield* Ref.getAndSet(lastNotes, notes)) && notes !== "") {
      yield* Effect.logWarning("output of nvidia-smi passed over", { notes })
    }
    return report.gpus
  })
  return yield* Effect.cachedWithTTL(ask, (exit) =>
    Exit.isSuccess(exit) && exit.value.length === 0 ? "10 seconds" : 0
  )
})

// The tool runs in a fiber of its own: behind a broken driver it may not even die of SIGKILL, and nobody
// waits for that.
const run = Effect.fnUntraced(function* (spawner: ChildProcessSpawner.ChildProcessSpawner["Service"]) {
  const fiber = yield* spawner
    .streamString(command)
    .pipe(Stream.take(mostChunks), Stream.mkString, Effect.forkDetach)
  return yield* Fiber.join(fiber).pipe(
    Effect.map(parse),
    Effect.timeoutOrElse({
      duration: limit,
      orElse: () => Effect.succeed<Report>({ gpus: [], notes: [`it did not answer within ${limit}`] })
    }),
    Effect.catchTag("PlatformError", (error) =>
      Effect.succeed<Report>({
        gpus: [],
        notes: error.reason._tag === "NotFound" ? [] : [`it could not be run (${error.reason._tag})`]
      })
    ),
    Effect.ensuring(Effect.forkDetach(Fiber.interrupt(fiber)))
  )
})

/** Reads the tool's lines; what is no row of a usable GPU becomes a note. */
export const parse = (output: string): Report => {
  const gpus = new Map<number, Gpu>()
  const notes: Array<string> = []
  for (const line of output
    .split(/\r?\n/)
    .filter((line) => line.trim() !== "")
    .slice(0, mostGpus)) {
    const gpu = parseRow(line)
    if (gpu === undefined || gpus.has(gpu.index))
      notes.push(`row '${line.replace(/\p{C}/gu, " ").trim().slice(0, 120)}'`)
    else gpus.set(gpu.index, gpu)
  }
  return {
    gpus: [...gpus.values()].sort((left, right) => left.index - right.index),
    notes: notes.slice(0, 8)
  }
}

// A name may itself have commas; the other four fields do not.
const row = /^\s*(\d{1,4})\s*,\s*(.*\S)\s*,\s*(\d{1,9})\s*,\s*(\d{1,9})\s*,\s*(\S.*?)\s*$/

const parseRow = (line: string): Gpu | undefined => {
  const [, index, name, total, free, capability = ""] = row.exec(line) ?? []
  if (name === undefined || Number(total) === 0 || Number(free) > Number(total)) return undefined
  return {
    index: Number(index),
    name: name.replace(/\p{C}/gu, " ").slice(0, 200),
    totalBytes: Number(total) * mebi,
    freeBytes: Number(free) * mebi,
    computeCapability: /^\d{1,3}\.\d{1,3}$/.test(capability) ? capability : null
  }
}
