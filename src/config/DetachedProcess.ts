import { spawn } from "node:child_process"
import { closeSync, openSync } from "node:fs"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Schema from "effect/Schema"

/** The process could not be started at all: its program is missing or may not be run. */
export class SpawnFailed extends Schema.TaggedError<SpawnFailed>()("SpawnFailed", {
  command: Schema.String,
  reason: Schema.String
}) {
  override get message() {
    return `Could not start ${this.command}: ${this.reason}`
  }
}

/** A program, its arguments, and the file that its output is appended to. */
export interface DetachedCommand {
  readonly command: string
  readonly args: ReadonlyArray<string>
  readonly logFile: string
  readonly env?: Readonly<Record<string, string>>
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
>()("rbee/config/DetachedProcess") {
  static readonly layer = Layer.succeed(
    DetachedProcess,
    DetachedProcess.of({ start: (command) => Effect.suspend(() => start(command)) })
  )
}

const start = ({ args, command, env, logFile }: DetachedCommand) =>
  Effect.callback<Started, SpawnFailed>((resume) => {
    const fail = (cause: unknown) =>
      resume(
        Effect.fail(
          new SpawnFailed({ command, reason: cause instanceof Error ? cause.message : String(cause) })
        )
      )
    let log: number | undefined
    try {
      log = openSync(logFile, "a", 0o600)
      const child = spawn(command, args, {
        cwd: "/",
        detached: true,
        stdio: ["ignore", log, log],
        env: { ...process.env, ...env }
      })
      const exited = new Promise<{ readonly code: number | null; readonly signal: string | null }>((done) => {
        child.once("exit", (code, signal) => done({ code, signal }))
      })
      child.once("error", fail)
      child.once("spawn", () => {
        child.unref()
        const { pid } = child
        if (pid === undefined) return fail("no process id")
        resume(Effect.succeed({ pid, exited: Effect.promise(() => exited) }))
      })
    } catch (cause) {
      fail(cause)
    } finally {
      if (log !== undefined) closeSync(log)
    }
  })
