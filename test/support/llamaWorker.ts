import { type ChildProcess, spawn } from "node:child_process"
import { Context, Effect, Layer } from "effect"
import OpenAI from "openai"
import { oneSampler } from "../../src/hive/engines/Llama.ts"
import { type Answer, ask, type Sent } from "./daemon.ts"
import { freePort } from "./ports.ts"
import { workerProgram } from "./programs.ts"
import { until } from "./until.ts"

/** The file of the model `rbee:tiny`. */
export const tiny = new URL("../../src/worker/tiny/rbee-tiny-novelist-q8_0.gguf", import.meta.url).pathname

/** A process of the built-in worker. */
export interface WorkerProcess {
  readonly child: ChildProcess
  /** Its exit code and all that it wrote, when it has ended. */
  readonly ended: Effect.Effect<{ readonly code: number | null; readonly written: string }>
}

/** Starts the worker with a command line; it is killed with the scope. */
export const startWorker = (args: ReadonlyArray<string>) =>
  Effect.acquireRelease(
    Effect.sync((): WorkerProcess => {
      const env = { ...process.env, ...oneSampler }
      const child = spawn(process.execPath, [workerProgram, ...args], {
        stdio: ["ignore", "pipe", "pipe"],
        env
      })
      let written = ""
      const note = (chunk: Buffer) => {
        written += chunk.toString()
      }
      child.stdout.on("data", note)
      child.stderr.on("data", note)
      const ended = new Promise<{ readonly code: number | null; readonly written: string }>((done) => {
        child.on("close", (code) => done({ code, written }))
      })
      return { child, ended: Effect.promise(() => ended) }
    }),
    ({ child }) => Effect.sync(() => child.kill("SIGKILL"))
  )

const isJson = ({ headers }: Answer) => headers["content-type"]?.startsWith("application/json") === true

/** A worker that has loaded its model. */
export interface LlamaWorker extends WorkerProcess {
  readonly port: number
  readonly url: string
  readonly client: OpenAI
  readonly ask: (sent: Sent) => Effect.Effect<Answer>
  /** Posts a body as JSON; `json` is the answer, if it is JSON. */
  readonly post: (
    path: string,
    body: object
  ) => Effect.Effect<Answer & { readonly json: ReturnType<typeof JSON.parse> }>
  /** How many requests it answers, by its own account. */
  readonly busy: Effect.Effect<number>
}

/** Starts a worker with the model `rbee:tiny`, or another file under that name, and waits until it has loaded it. */
export const llamaWorker = Effect.fnUntraced(function* (file = tiny, flags: ReadonlyArray<string> = []) {
  const port = yield* freePort
  const url = `http://127.0.0.1:${port}`
  const given = ["--model", file, "--model-id", "rbee:tiny", "--port", String(port)]
  const started = yield* startWorker([...given, ...flags])
  const health = ask(url, { path: "/health" })
  yield* Effect.sandbox(health).pipe(
    Effect.match({ onFailure: () => false, onSuccess: ({ status }) => status === 200 }),
    (isReady) => until(isReady, (ready) => ready, "30 seconds")
  )
  // An answer of many tokens takes its time on a machine that does more.
  const askIt = (sent: Sent) => ask(url, { within: "60 seconds", ...sent })
  const worker: LlamaWorker = {
    ...started,
    port,
    url,
    client: new OpenAI({ baseURL: `${url}/v1`, apiKey: "none", maxRetries: 0 }),
    ask: askIt,
    post: (path, body) =>
      Effect.map(askIt({ method: "POST", path, body: JSON.stringify(body) }), (answer) => ({
        ...answer,
        json: isJson(answer) ? JSON.parse(answer.text) : undefined
      })),
    busy: Effect.map(health, ({ text }) => Number(JSON.parse(text).busy))
  }
  return worker
})

/** One worker for all tests of a file. */
export class TinyWorker extends Context.Service<TinyWorker, LlamaWorker>()(
  "rbee/test/support/llamaWorker/TinyWorker"
) {
  static readonly layer = Layer.effect(this, llamaWorker())
}
