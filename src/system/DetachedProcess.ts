import { type ChildProcess, spawn } from "node:child_process"
import { accessSync, closeSync, constants, openSync } from "node:fs"
import * as path from "node:path"
import { Writable } from "node:stream"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Schema from "effect/Schema"
import { systemProblem } from "../settings/systemProblem.ts"
import { environmentWithoutSecrets } from "./childEnvironment.ts"
import { makeFolder } from "./makeFolder.ts"

/** The process could not be started, for example because its program is missing or not executable. */
export class SpawnFailed extends Schema.TaggedError<SpawnFailed>()("SpawnFailed", {
  command: Schema.String,
  reason: Schema.String
}) {
  override get message() {
    return `Could not start ${this.command}: ${this.reason}`
  }
}

/** A program, its arguments, and the file for its output, which is appended. A missing folder of the file is created. */
export interface DetachedCommand {
  readonly command: string
  readonly args: ReadonlyArray<string>
  readonly logFile: string
  /** Added to the environment of this process. */
  readonly env?: Readonly<Record<string, string>>
  /** Whether the process inherits rbee's token and those of model hubs, as rbee's daemons do; default: false. */
  readonly inheritsSecrets?: boolean
}

/** A started process. `exited` returns its exit code or signal. */
export interface Started {
  readonly pid: number
  readonly exited: Effect.Effect<{ readonly code: number | null; readonly signal: string | null }>
}

/** A process that waits before it runs its program, and exits if this process exits first. */
export interface Held extends Started {
  /** Runs the program in the same process. */
  readonly begin: Effect.Effect<void>
}

/** Starts processes that outlive this one: each has its own session, no pipe, and a file for its output. */
export class DetachedProcess extends Context.Service<
  DetachedProcess,
  {
    readonly start: (command: DetachedCommand) => Effect.Effect<Started, SpawnFailed>
    /** Starts a process that waits, so that it can be recorded before its program runs. */
    readonly hold: (command: DetachedCommand) => Effect.Effect<Held, SpawnFailed>
  }
>()("rbee/system/DetachedProcess") {
  static readonly layer = Layer.succeed(
    DetachedProcess,
    DetachedProcess.of({
      start: (command) => withLogFolder(command, start(command)),
      hold: (command) => withLogFolder(command, hold(command))
    })
  )
}

const withLogFolder = <A>({ command, logFile }: DetachedCommand, started: Effect.Effect<A, SpawnFailed>) =>
  makeFolder(path.dirname(logFile), 0o700).pipe(
    Effect.mapError((error) => new SpawnFailed({ command, reason: logProblem(logFile, error) })),
    Effect.andThen(started)
  )

const logProblem = (logFile: string, error: unknown) =>
  `its log ${logFile} cannot be written: ${systemProblem(error)}`

const start = (command: DetachedCommand) => spawnWith(command, command, [], (started) => started)

const gate = 3

// `exec` keeps the process id. The pipe ends when this process ends.
const waitsForGate = `read -r go <&${gate} && exec "$@" ${gate}<&-`

const hold = (command: DetachedCommand) =>
  Effect.suspend(() => {
    const problem = programProblem(command)
    if (problem !== undefined) {
      return Effect.fail(new SpawnFailed({ command: command.command, reason: problem }))
    }
    const held = {
      ...command,
      command: "/bin/sh",
      args: ["-c", waitsForGate, "sh", command.command, ...command.args]
    }
    return spawnWith(command, held, ["pipe"], (started, child): Held => {
      const pipe = child.stdio[gate]
      // The pipe of an exited process fails.
      pipe?.on("error", () => {})
      return {
        ...started,
        begin: Effect.sync(() => {
          if (pipe instanceof Writable) pipe.end("\n")
        })
      }
    })
  })

/** The reason why a program cannot be run, as a direct start would report it. */
const programProblem = ({ command, env }: DetachedCommand) => {
  const folders = command.includes("/") ? [""] : (env?.["PATH"] ?? process.env["PATH"] ?? "").split(":")
  let problem: unknown
  for (const folder of folders) {
    try {
      accessSync(path.resolve("/", folder, command), constants.X_OK)
      return undefined
    } catch (cause) {
      problem ??= cause
    }
  }
  return systemProblem(problem)
}

const spawnWith = <A>(
  original: DetachedCommand,
  { args, command, env, inheritsSecrets = false, logFile }: DetachedCommand,
  more: ReadonlyArray<"pipe">,
  toResult: (started: Started, child: ChildProcess) => A
) =>
  Effect.callback<A, SpawnFailed>((resume) => {
    const fail = (reason: string) =>
      resume(Effect.fail(new SpawnFailed({ command: original.command, reason })))
    let log: number
    try {
      log = openSync(logFile, "a", 0o600)
    } catch (cause) {
      return fail(logProblem(logFile, cause))
    }
    try {
      const child = spawn(command, args, {
        cwd: "/",
        detached: true,
        stdio: ["ignore", log, log, ...more],
        env: { ...(inheritsSecrets ? process.env : environmentWithoutSecrets()), ...env }
      })
      const exited = new Promise<{ readonly code: number | null; readonly signal: string | null }>((done) => {
        child.once("exit", (code, signal) => done({ code, signal }))
      })
      child.once("error", (cause) => fail(systemProblem(cause)))
      child.once("spawn", () => {
        child.unref()
        const { pid } = child
        if (pid === undefined) return fail("no process id")
        resume(Effect.succeed(toResult({ pid, exited: Effect.promise(() => exited) }, child)))
      })
    } catch (cause) {
      fail(systemProblem(cause))
    } finally {
      closeSync(log)
    }
  })
