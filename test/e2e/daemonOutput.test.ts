import { spawn } from "node:child_process"
import { once } from "node:events"
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { ask } from "../support/daemon.ts"
import { freePort } from "../support/ports.ts"
import { rbee, temporaryFolder } from "../support/rbee.ts"
import { until } from "../support/until.ts"

const program = new URL("../../dist/bin.js", import.meta.url).pathname

/** A queen in the foreground, with pipes for its output. */
const startQueen = (home: string, port: number) =>
  Effect.acquireRelease(
    Effect.sync(() =>
      spawn(process.execPath, [program, "queen", "serve", "--port", String(port)], {
        env: { ...process.env, RBEE_HOME: home, RBEE_TOKEN: "", RBEE_QUEEN_URL: "" },
        stdio: ["ignore", "pipe", "pipe"]
      })
    ),
    (child) =>
      Effect.promise(async () => {
        if (child.exitCode !== null) return
        const exited = once(child, "exit")
        child.kill("SIGKILL")
        await exited
      })
  )

const answers = (url: string) =>
  until(
    Effect.orElseSucceed(
      Effect.map(ask(url, { path: "/health" }), ({ status }) => status),
      () => 0
    ).pipe(Effect.catchDefect(() => Effect.succeed(0))),
    (status) => status === 200
  )

describe("a daemon in the foreground", () => {
  it.live(
    "keeps running after its output was closed, and reports the owner of its port",
    () =>
      Effect.gen(function* () {
        const home = yield* temporaryFolder
        const port = yield* freePort
        const url = `http://127.0.0.1:${port}`
        const child = yield* startQueen(home, port)
        child.stdout.destroy()
        child.stderr.destroy()
        yield* answers(url)
        // A heartbeat of an unknown hive, and one that is wrong, make it write to its log.
        for (const body of [`{"hive_id":"../x","timestamp":"x","workers":[]}`, "{}"]) {
          yield* ask(url, { method: "POST", path: "/v1/heartbeat", body })
        }
        yield* answers(url)
        assert.isNull(child.exitCode)

        const second = yield* rbee(home, ["queen", "serve", "--port", String(port)])
        assert.strictEqual(second.code, 1)
        assert.include(second.stderr, `in use by the queen (process ${child.pid}, state in ${home}/state)`)
        assert.include(second.stderr, "'rbee queen stop'")
        const elsewhere = yield* rbee(yield* temporaryFolder, ["queen", "serve", "--port", String(port)])
        assert.include(elsewhere.stderr, "in use by the queen of another rbee (version 0.1.0")
        assert.include(elsewhere.stderr, `process ${child.pid}); stop it where it was started, or with 'kill`)
      }),
    60_000
  )
})
