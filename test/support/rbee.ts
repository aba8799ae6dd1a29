import { type ChildProcess, spawn } from "node:child_process"
import { mkdtempSync } from "node:fs"
import { rm } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { Effect } from "effect"

const program = new URL("../../dist/bin.js", import.meta.url).pathname

export interface Ran {
  readonly code: number | null
  readonly stdout: string
  readonly stderr: string
}

/**
 * A folder that is removed when the scope closes. A process that a test has killed may still create files in it for a
 * moment, so the removal is tried again for about two seconds.
 */
export const temporaryFolder = Effect.acquireRelease(
  Effect.sync(() => mkdtempSync(join(tmpdir(), "rbee-test-"))),
  (folder) =>
    Effect.promise(() => rm(folder, { recursive: true, force: true, maxRetries: 8, retryDelay: 50 }))
)

export interface Options {
  readonly stdin?: string
  readonly env?: Readonly<Record<string, string>>
  /** Called with the process and what it has printed to stdout so far. */
  readonly onStdout?: (child: ChildProcess, stdout: string) => void
  readonly onStderr?: (child: ChildProcess, stderr: string) => void
}

/** Runs the built command line in a process of its own, with a home of its own. */
export const rbee = (home: string, args: ReadonlyArray<string>, options: Options = {}) =>
  Effect.callback<Ran>((resume) => {
    const child = spawn(process.execPath, [program, ...args], {
      env: { ...process.env, RBEE_HOME: home, RBEE_QUEEN_URL: "", RBEE_TOKEN: "", ...options.env }
    })
    let stdout = ""
    let stderr = ""
    child.stdout.on("data", (chunk: Buffer) => {
      stdout += chunk.toString()
      options.onStdout?.(child, stdout)
    })
    child.stderr.on("data", (chunk: Buffer) => {
      stderr += chunk.toString()
      options.onStderr?.(child, stderr)
    })
    child.on("close", (code) => resume(Effect.succeed({ code, stdout, stderr })))
    child.stdin.end(options.stdin ?? "")
    return Effect.sync(() => child.kill("SIGKILL"))
  })
