import { spawn } from "node:child_process"
import { Effect, Schedule } from "effect"
import { freePort } from "./ports.ts"
import { workerProgram } from "./programs.ts"

const tiny = new URL("../../src/worker/tiny/rbee-tiny-novelist-q8_0.gguf", import.meta.url).pathname

/** Starts a worker of the built-in engine; gives how to post to it. It ends with the scope. */
export const llamaWorker = (path: string = tiny, flags: ReadonlyArray<string> = []) =>
  Effect.gen(function* () {
    const port = yield* freePort
    const args = [workerProgram, "--model", path, "--model-id", "m", "--port", String(port), ...flags]
    yield* Effect.acquireRelease(
      Effect.sync(() => spawn(process.execPath, args, { stdio: "ignore" })),
      (child) => Effect.sync(() => child.kill("SIGKILL"))
    )
    yield* Effect.tryPromise(() => fetch(`http://127.0.0.1:${port}/health`)).pipe(
      Effect.flatMap(({ ok }) => (ok ? Effect.void : Effect.fail("loading"))),
      Effect.retry(Schedule.spaced("20 millis")),
      Effect.timeout("30 seconds")
    )
    const post = (path: string, body: object) =>
      Effect.promise(async () => {
        const response = await fetch(`http://127.0.0.1:${port}${path}`, {
          method: "POST",
          body: JSON.stringify(body)
        })
        const text = await response.text()
        const isJson = response.headers.get("content-type")?.startsWith("application/json") === true
        // What a test looks into is the answer of another program.
        const json = isJson ? JSON.parse(text) : undefined
        return { status: response.status, text, json }
      })
    return { port, post }
  })
