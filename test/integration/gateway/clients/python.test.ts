import { execFile } from "node:child_process"
import { existsSync } from "node:fs"
import { homedir } from "node:os"
import { join } from "node:path"
import { promisify } from "node:util"
import { assert, describe, layer } from "@effect/vitest"
import { Effect } from "effect"
import { daemons, Endpoints } from "../../../support/endpoints.ts"

const folder =
  process.env["RBEE_TEST_CLIENTS"] ??
  join(process.env["XDG_CACHE_HOME"] ?? join(homedir(), ".cache"), "rbee-test-clients")
const python = join(folder, "bin", "python")
const isThere = existsSync(python)
const script = new URL("python/clients.py", import.meta.url).pathname
const run = promisify(execFile)

const message = isThere ? "" : ` (skipped: no Python clients in ${folder}; see python/README.md)`

describe.skipIf(!isThere)(`LangChain, LiteLLM and llama-index${message}`, () => {
  layer(Endpoints.layer, { timeout: "60 seconds", excludeTestServices: true })((it) => {
    for (const daemon of daemons) {
      it.effect(
        `work with their defaults at a ${daemon}`,
        () =>
          Effect.gen(function* () {
            const endpoints = yield* Endpoints
            const { stdout } = yield* Effect.promise(() =>
              run(python, [script, endpoints[daemon], "rbee:tiny"], {
                timeout: 240_000,
                maxBuffer: 8_000_000
              })
            )
            const results: Readonly<Record<string, string>> = JSON.parse(
              stdout.trim().split("\n").at(-1) ?? ""
            )
            assert.isAbove(Object.keys(results).length, 20)
            for (const [call, result] of Object.entries(results)) assert.strictEqual(result, "ok", call)
          }),
        300_000
      )
    }
  })
})
