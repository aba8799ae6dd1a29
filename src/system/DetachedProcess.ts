import { spawn } from "node:child_process"
import { closeSync, openSync } from "node:fs"
import * as path from "node:path"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Schema from "effect/Schema"
import { systemProblem } from "../settings/systemProblem.ts"
import { environmentWithoutSecrets } from "./childEnvironment.ts"
import { makeFolder } from "./makeFolder.ts"

/** The process could not be started at all: its program is missing or may not be run. */
export class SpawnFailed extends Schema.TaggedError<SpawnFailed>()("SpawnFailed", {
  command: Schema.String,
  reason: Schema.String
}) {
  override get message() {
    return `Could not start ${this.command}: ${this.reason}`
  }
}

/** A program, its arguments, and the file that its output is appended to; its folder is made if it is not there. */
export interface DetachedCommand {
  readonly command: string
  readonly args: ReadonlyArray<string>
  readonly logFile: string
  /** Added to the environment of this process. */
  readonly env?: Readonly<Record<string, string>>
  /** Whether it gets the token of rbee and those of model hubs, as daemons of rbee do; without this it does not. */
  readonly inheritsSecrets?: boolean
}

/** A process that was started. `exited` ends when it does, and tells how. */
export interface Started {
  readonly pid: number
  readonly exited: Effect.Effect<{ readonly code: number | null; readonly signal: string | null }>
}

/**
 * Starts processes that outlive this one: in a session of their own, without a pipe to it, with their output in a
 * file.
 */
export class DetachedProcess extends Context.Service<
  DetachedProcess,
  {
    readonly start: (command: DetachedCommand) => Effect.Effect<Started, SpawnFailed>
  }
>()("rbee/system/DetachedProcess") {
  static readonly layer = Layer.succeed(
    DetachedProcess,
    DetachedProcess.of({
      start: (command) =>
        makeFolder(path.dirname(command.logFile), 0o700).pipe(
          Effect.mapError(
            (error) =>
              new SpawnFailed({ command: command.command, reason: logProblem(command.logFile, error) })
          ),
          Effect.andThen(start(command))
        )
    })
  )
}

const logProblem = (logFile: string, error: unknown) =>
  `its log ${logFile} cannot be written: ${systemProblem(error)}`

const start = ({ args, command, env, inheritsSecrets = false, logFile }: DetachedCommand) =>
  Effect.callback<Started, SpawnFailed>((resume) => {
    const fail = (reason: string) => resume(Effect.fail(new SpawnFailed({ command, reason })))
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
        stdio: ["ignore", log, log],
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
        resume(Effect.succeed({ pid, exited: Effect.promise(() => exited) }))
      })
    } catch (cause) {
      fail(systemProblem(cause))
    } finally {
      closeSync(log)
    }
  })
