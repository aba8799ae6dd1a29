import { execFile } from "node:child_process"
import { fileURLToPath } from "node:url"
import { assert, describe, it } from "@effect/vitest"
import { Context, Effect, Layer } from "effect"
import { Endpoints } from "../support/endpoints.ts"

interface Ran {
  readonly code: number | string | null | undefined
  readonly stdout: string
  readonly stderr: string
}

/** Runs an example as its reader would. */
const example = (name: string, ...args: ReadonlyArray<string>) =>
  Effect.callback<Ran>((resume) => {
    const file = fileURLToPath(new URL(`../../scratchpad/${name}.ts`, import.meta.url))
    const child = execFile(process.execPath, [file, ...args], { timeout: 25_000 }, (error, stdout, stderr) =>
      resume(Effect.succeed({ code: error === null ? 0 : error.code, stdout, stderr }))
    )
    return Effect.sync(() => child.kill("SIGKILL"))
  })

const linesOf = ({ stdout }: Ran, start: string) =>
  stdout.split("\n").filter((line) => line.startsWith(start))

describe("the examples", () => {
  it.live("forward to two hives at once", () =>
    Effect.gen(function* () {
      const ran = yield* example("forward")
      assert.strictEqual(ran.code, 0, ran.stderr)
      for (const hive of ["atlas", "boreas"]) {
        const lines = linesOf(ran, `${hive}: `)
        assert.lengthOf(lines, 4)
        assert.include(lines[0], `Forwarding worker_spawn operation to hive '${hive}'`)
        assert.strictEqual(lines[3], `${hive}: result {"id":"worker-of-${hive}","state":"ready"}`)
      }
      assert.include(
        ran.stdout,
        "HiveNotFound: Hive 'nowhere' not found in configuration; known hives: atlas, boreas\n"
      )
    })
  )

  it.live("mock the HTTP client", () =>
    Effect.gen(function* () {
      const ran = yield* example("mocked")
      assert.strictEqual(ran.code, 0, ran.stderr)
      assert.deepStrictEqual(
        linesOf(ran, "atlas: token"),
        ["Once", " upon", " a", " time"].map((text) => `atlas: token '${text}'`)
      )
      assert.include(ran.stdout, "boreas: JobFailed: boreas has no such model\n")
      assert.include(
        ran.stdout,
        "gone: ConnectionFailed: Failed to connect to hive: connection refused (hive 'gone')\n"
      )
    })
  )

  it.live("handle each typed error of forwarding", () =>
    Effect.gen(function* () {
      const ran = yield* example("typed-errors")
      assert.strictEqual(ran.code, 0, ran.stderr)
      assert.deepStrictEqual(ran.stdout.trimEnd().split("\n"), [
        "HiveNotFound: choose one of boreas, castor",
        "ConnectionFailed: try again later: refused",
        "InvalidResponse: upgrade atlas, which answered 500",
        "HiveTimeout: raise timeouts.idle, now 60 s",
        "JobFailed: the hive's own error: ModelNotFound",
        "JobCancelled: cancelled, confirmed: true"
      ])
    })
  )

  it.live("mount a queen on an application's own router", () =>
    Effect.gen(function* () {
      const ran = yield* example("mounted")
      assert.strictEqual(ran.code, 0, ran.stderr)
      assert.deepStrictEqual(linesOf(ran, "/"), [
        "/hello: Hello from the application",
        "/llm/health: ok",
        `/llm/v1/models: {"object":"list","data":[]}`
      ])
    })
  )

  it.live("add an operation from outside", () =>
    Effect.gen(function* () {
      const ran = yield* example("own-operation", "Grace")
      assert.strictEqual(ran.code, 0, ran.stderr)
      assert.include(ran.stdout, "Forwarding greet operation to hive 'atlas'")
      assert.include(ran.stdout, "Looking for a word for Grace")
      assert.include(ran.stdout, `result {"greeting":"Hello Grace, from atlas"}\n`)
      assert.match(ran.stdout, /^done in \d+ ms$/m)
    })
  )

  it.live("run a queen, a hive and a worker from one process", () =>
    Effect.gen(function* () {
      const prompt = "It was a truth universally acknowledged that"
      const ran = yield* example("one-process", prompt)
      assert.strictEqual(ran.code, 0, ran.stderr)
      assert.include(ran.stdout, "No worker serves rbee:tiny; starting one")
      const [answer = ""] = linesOf(ran, "Answer: ")
      assert.isAbove(answer.length, `Answer: ${prompt}`.length + 10)
    })
  )

  it.live("serve the application endpoints from an HTTP server of their own", () =>
    Effect.gen(function* () {
      const ran = yield* example("mount-gateway", "Polly")
      assert.strictEqual(ran.code, 0, ran.stderr)
      assert.deepStrictEqual(
        ran.stdout.trim().split("\n"),
        ["OpenAI", "Anthropic", "Ollama"].map((api) => `${api}: You said: Polly`)
      )
    })
  )

  it.live("use a model of the fleet through effect/ai", () =>
    Effect.gen(function* () {
      const { queen } = Context.get(yield* Layer.build(Endpoints.layer), Endpoints)
      const ran = yield* example("language-model", queen)
      assert.strictEqual(ran.code, 0, ran.stderr)
      assert.isAbove(linesOf(ran, "delta: ").length, 1)
      assert.match(ran.stdout, /^value: \{"verdict":"(agreeable|tedious)","certain":(true|false)\}$/m)
    })
  )
})
