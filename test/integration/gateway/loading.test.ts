import { rmSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Fiber } from "effect"
import { vi } from "vitest"
import { post } from "../../support/applications.ts"
import { type Fleet, signal, startFleet } from "../../support/fleet.ts"
import { temporaryHome } from "../../support/hive.ts"
import { until } from "../../support/until.ts"

// Workers are started here, which takes its time on a machine that does more.
vi.setConfig({ testTimeout: 120_000 })

const complete = ({ queenUrl }: Fleet, model: string) =>
  post(queenUrl, "/v1/completions", { model, prompt: "It was", max_tokens: 2 })

const timed = <A>(asking: Effect.Effect<A>) =>
  Effect.suspend(() => {
    const asked = performance.now()
    return Effect.map(asking, (answer) => ({ answer, took: performance.now() - asked }))
  })

describe("a model file that no engine can load", () => {
  it.live("is answered with its error, at once while it cools down, and delays no other model", () =>
    Effect.gen(function* () {
      const fleet = yield* startFleet({
        hives: ["atlas"],
        models: ["good", "fine"],
        variants: {
          newer: { "general.architecture": "newer" },
          wordless: { "tokenizer.ggml.model": "telepathy" },
          wider: { "llama.feed_forward_length": 4096 }
        }
      })
      for (const [broken, good] of [
        ["newer", "good"],
        ["wordless", "fine"],
        ["wider", "rbee:tiny"]
      ] as const) {
        const first = yield* complete(fleet, broken)
        const { error } = JSON.parse(first.text)
        assert.deepStrictEqual([first.status, error.code], [503, "LoadFailed"], first.text)
        assert.include(error.message, `Model '${broken}' could not be loaded`)
        const loaded = yield* complete(fleet, good)
        assert.strictEqual(loaded.status, 200, loaded.text)
        const { answer, took } = yield* timed(complete(fleet, broken))
        assert.deepStrictEqual([answer.status, JSON.parse(answer.text).error], [503, error])
        assert.isBelow(took, 1_000)
        const retryAfter = Number(answer.headers["retry-after"])
        assert.isTrue(retryAfter > 2 && retryAfter <= 30, String(retryAfter))
      }
      assert.lengthOf(yield* fleet.workers, 3)
    })
  )
})

describe("a worker that is killed while it loads", () => {
  const holding = (file: string) =>
    ({
      engine: { name: "holding" },
      engines: {
        holding: {
          command: [
            process.execPath,
            new URL("../../support/fakeFailingEngine.ts", import.meta.url).pathname,
            "--port",
            "{port}",
            "--name",
            "{model_id}",
            "--hold",
            file
          ]
        }
      }
    }) as const

  const starting = (fleet: Fleet, before: ReadonlySet<number>) =>
    Effect.map(
      until(fleet.workers, (workers) =>
        workers.some(({ pid, state }) => state === "starting" && pid !== undefined && !before.has(pid))
      ),
      (workers) => workers.find(({ pid }) => pid !== undefined && !before.has(pid))?.pid ?? 0
    )

  const chat = ({ queenUrl }: Fleet, model: string) =>
    post(queenUrl, "/v1/chat/completions", { model, messages: [{ role: "user", content: "hi" }] })

  it.live("is started again at once for the waiting request", () =>
    Effect.gen(function* () {
      const file = join(yield* temporaryHome, "loaded")
      const fleet = yield* startFleet({ hives: ["atlas"], hive: holding(file), models: ["m"] })
      for (const signalName of ["SIGKILL", "SIGTERM"] as const) {
        const asked = yield* Effect.forkChild(
          timed(chat(fleet, signalName === "SIGKILL" ? "m" : "rbee:tiny"))
        )
        const killed = new Set((yield* fleet.workers).flatMap(({ pid = [] }) => pid))
        const first = yield* starting(fleet, killed)
        signal(first, signalName)
        yield* starting(fleet, killed.add(first))
        writeFileSync(file, "")
        const { answer, took } = yield* Fiber.join(asked)
        assert.strictEqual(answer.status, 200, answer.text)
        assert.isBelow(took, 20_000)
        rmSync(file)
      }
    })
  )

  it.live("again and again is given up, together with its model only", () =>
    Effect.gen(function* () {
      const file = join(yield* temporaryHome, "loaded")
      const fleet = yield* startFleet({ hives: ["atlas"], hive: holding(file), models: ["m", "n"] })
      const asked = yield* Effect.forkChild(chat(fleet, "m"))
      const killed = new Set<number>()
      for (let i = 0; i < 3; i++) {
        const pid = yield* starting(fleet, killed)
        killed.add(pid)
        signal(pid, "SIGKILL")
      }
      const refused = yield* Fiber.join(asked)
      assert.deepStrictEqual([refused.status, JSON.parse(refused.text).error.code], [503, "LoadFailed"])
      assert.include(refused.text, "SIGKILL")
      writeFileSync(file, "")
      assert.strictEqual((yield* chat(fleet, "n")).status, 200)
      assert.strictEqual((yield* chat(fleet, "m")).status, 503)
    })
  )
})
