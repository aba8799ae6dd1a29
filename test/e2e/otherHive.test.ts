import { copyFileSync, mkdirSync } from "node:fs"
import { join } from "node:path"
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { freePort } from "../support/ports.ts"
import { rbee, temporaryFolder } from "../support/rbee.ts"
import { until } from "../support/until.ts"

const tiny = new URL("../../src/worker/tiny/rbee-tiny-novelist-q8_0.gguf", import.meta.url).pathname

/** A queen, and the hive 'atlas' of another home, which alone has the model 'elsewhere'. */
const fleet = Effect.gen(function* () {
  const home = yield* temporaryFolder
  const other = yield* temporaryFolder
  const queenPort = yield* freePort
  const env = { RBEE_QUEEN_PORT: String(queenPort), RBEE_HIVE_PORT: String(yield* freePort) }
  const run = (...args: ReadonlyArray<string>) => rbee(home, args, { env })
  yield* Effect.addFinalizer(() => Effect.andThen(rbee(other, ["stop"], { env }), run("stop")))
  assert.strictEqual((yield* run("queen", "start")).code, 0)
  mkdirSync(join(other, "data", "models"), { recursive: true })
  copyFileSync(tiny, join(other, "data", "models", "elsewhere.gguf"))
  const listen = ["--hive-id", "atlas", "--port", String(yield* freePort)]
  const queen = ["--queen-url", `http://127.0.0.1:${queenPort}`]
  const started = yield* rbee(other, ["hive", "serve", "--detach", ...listen, ...queen], { env })
  assert.strictEqual(started.code, 0, started.stderr)
  yield* until(run("model", "list", "--hive-id", "atlas"), ({ stdout }) => stdout.includes("elsewhere"))
  return { run }
})

describe("a model of another hive", () => {
  it.live(
    "is found by auto, without a local hive being started, and named when the local hive lacks it",
    () =>
      Effect.gen(function* () {
        const { run } = yield* fleet
        const infer = ["infer", "--model", "elsewhere", "--max-tokens", "4", "Call me"]
        const found = yield* run(...infer, "--hive-id", "auto")
        assert.strictEqual(found.code, 0, found.stderr)
        assert.notInclude(found.stderr, "Starting hive 'localhost'")
        const missing = yield* run(...infer)
        assert.strictEqual(missing.code, 1)
        assert.include(missing.stderr, "is not on this hive")
        assert.match(
          missing.stderr,
          /Model 'elsewhere(\.gguf)?' is on atlas: use --hive-id atlas, or --hive-id auto/
        )
      }),
    60_000
  )
})
