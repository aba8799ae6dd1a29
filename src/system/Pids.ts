import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as ChildProcess from "effect/process/ChildProcess"
import * as ChildProcessSpawner from "effect/process/ChildProcessSpawner"
import * as Schedule from "effect/Schedule"
import * as Schema from "effect/Schema"

/** A process, distinguished from a later one with the same number. */
export const ProcessId = Schema.Struct({
  pid: Schema.Int.check(Schema.isGreaterThan(0)),
  /** The start time in the format of the operating system. */
  startTime: Schema.String
})
export type ProcessId = typeof ProcessId.Type

/** Inspects and ends processes of this machine. */
export class Pids extends Context.Service<
  Pids,
  {
    /** The start time of a process; none when it does not exist. */
    readonly startTime: (pid: number) => Effect.Effect<Option.Option<string>>
    /** Whether the process runs, and its number was not reused. */
    readonly isAlive: (process: ProcessId) => Effect.Effect<boolean>
    /**
     * Sends TERM, and KILL after the grace period, to the process and its group. Returns once the process has ended and the
     * rest of its group is killed. Never affects another process with the same number.
     */
    readonly terminate: (process: ProcessId, grace: Duration.Input) => Effect.Effect<void>
  }
>()("rbee/system/Pids") {
  static readonly layer = Layer.effect(
    Pids,
    Effect.suspend(() => make)
  )
}

const killTimeout = Duration.seconds(5)
const pollEvery = "20 millis"

// A zombie has ended; its parent has not read the exit code.
const fromStat = (stat: string) => {
  const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ")
  const [state] = fields
  return state === "Z" || state === "X" ? undefined : fields[19]
}

const signal = (pid: number, name: NodeJS.Signals) =>
  Effect.sync(() => {
    for (const target of [-pid, pid]) {
      try {
        process.kill(target, name)
        return
      } catch {
        // Not the leader of a group, or already ended.
      }
    }
  })

const make = Effect.gen(function* () {
  const fs = yield* FileSystem.FileSystem
  const spawner = yield* ChildProcessSpawner.ChildProcessSpawner
  const hasProc = yield* Effect.orElseSucceed(fs.exists("/proc/self/stat"), () => false)

  const fromProc = (pid: number) =>
    fs.readFileString(`/proc/${pid}/stat`).pipe(
      Effect.map((stat) => Option.fromUndefinedOr(fromStat(stat))),
      Effect.orElseSucceed(() => Option.none<string>())
    )

  const fromPs = (pid: number) =>
    spawner.string(ChildProcess.make("ps", ["-o", "lstart=", "-p", String(pid)])).pipe(
      Effect.timeout("2 seconds"),
      Effect.map((line) => Option.liftPredicate(line.trim(), (text) => text !== "")),
      Effect.orElseSucceed(() => Option.none<string>())
    )

  const startTime = hasProc ? fromProc : fromPs

  const isAlive = (process: ProcessId) =>
    Effect.map(startTime(process.pid), (found) => Option.isSome(found) && found.value === process.startTime)

  const ended = (process: ProcessId) =>
    Effect.repeat(isAlive(process), { while: (alive) => alive, schedule: Schedule.spaced(pollEvery) })

  // The number of a group is not reused, so without a process of this number the group consists of its descendants.
  const sweep = Effect.fnUntraced(function* (pid: number) {
    if (Option.isSome(yield* startTime(pid))) return
    yield* Effect.sync(() => {
      try {
        process.kill(-pid, "SIGKILL")
      } catch {
        // The group is empty.
      }
    })
  })

  return Pids.of({
    startTime,
    isAlive,
    terminate: Effect.fn("Pids.terminate")(function* (process, grace) {
      if (yield* isAlive(process)) {
        yield* signal(process.pid, "SIGTERM")
        const ownTime = yield* Effect.timeoutOption(ended(process), grace)
        if (Option.isNone(ownTime)) {
          yield* signal(process.pid, "SIGKILL")
          yield* Effect.timeoutOption(ended(process), killTimeout)
        }
      }
      yield* sweep(process.pid)
    })
  })
})
