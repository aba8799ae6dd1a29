import { type ChildProcess, execFile, spawn } from "node:child_process"
import { Effect } from "effect"

/** The built command line. */
export const program = new URL("../../dist/bin.js", import.meta.url).pathname

/** A daemon of the built command line as a process, which listens. */
export interface RbeeDaemon {
  readonly url: string
  readonly child: ChildProcess
  /** Kills it without warning, and returns when it has ended. */
  readonly kill: Effect.Effect<void>
}

const end = (child: ChildProcess, signal: NodeJS.Signals) =>
  Effect.callback<void>((resume) => {
    if (child.exitCode !== null || child.signalCode !== null) return resume(Effect.void)
    child.once("exit", () => resume(Effect.void))
    child.kill(signal)
  })

const listening = / listens on (http:\/\/\S+)/

/** Starts a command that serves, such as `queen serve`; it is ready when this returns, and stops with the scope. */
export const startRbee = (
  home: string,
  args: ReadonlyArray<string>,
  env: Readonly<Record<string, string>> = {}
) =>
  Effect.gen(function* () {
    const child = yield* Effect.acquireRelease(
      Effect.sync(() =>
        spawn(process.execPath, [program, ...args], {
          env: { ...process.env, RBEE_HOME: home, RBEE_QUEEN_URL: "", RBEE_TOKEN: "", ...env },
          stdio: ["ignore", "ignore", "pipe"]
        })
      ),
      (child) => end(child, "SIGTERM")
    )
    const url = yield* Effect.callback<string>((resume) => {
      let printed = ""
      child.stderr.on("data", (chunk: Buffer) => {
        printed += chunk.toString()
        const found = listening.exec(printed)?.[1]
        if (found !== undefined) resume(Effect.succeed(found))
      })
      child.once("exit", () => resume(Effect.die(new Error(`rbee ${args.join(" ")} ended: ${printed}`))))
    }).pipe(Effect.timeout("20 seconds"), Effect.orDie)
    const daemon: RbeeDaemon = { url, child, kill: end(child, "SIGKILL") }
    return daemon
  })

/** What a shell prints that runs a line. */
export const runScript = (line: string, path: string) =>
  Effect.callback<string>((resume) => {
    const child = execFile(
      "/bin/bash",
      ["-c", line],
      { env: { ...process.env, PATH: path }, timeout: 30_000 },
      (error, stdout, stderr) =>
        resume(error === null ? Effect.succeed(stdout) : Effect.die(new Error(`${line}: ${stderr}`)))
    )
    return Effect.sync(() => child.kill("SIGKILL"))
  })
