import { assert, it } from "@effect/vitest"
import { Effect } from "effect"
import { vi } from "vitest"
import { dataOf, openStream, post } from "../../support/applications.ts"
import { ask } from "../../support/daemon.ts"
import { startFleet } from "../../support/fleet.ts"
import { until } from "../../support/until.ts"

// Workers are started here, which takes its time on a machine that does more.
vi.setConfig({ testTimeout: 120_000 })

const remove = (url: string, model: string) => {
  const body = JSON.stringify({ model })
  return ask(url, { method: "DELETE", path: "/api/delete", headers: { "content-length": body.length }, body })
}

it.live("Ollama's delete unloads an idle model, and answers 409 for a model in use", () =>
  Effect.gen(function* () {
    const fleet = yield* startFleet({ hives: ["atlas"], models: ["one"], slow: true })
    const { queenUrl, workers } = fleet
    // The most likely tokens, so that every run has the same long answer: a sampled one may end at once.
    const messages = [{ role: "user", content: "Tell me about the whale." }]
    const long = { model: "one", messages, temperature: 0, max_tokens: 400 }
    const stream = yield* openStream(queenUrl, "/v1/chat/completions", long)
    yield* stream.until((connection) => dataOf(connection).length > 1)
    const busy = yield* remove(queenUrl, "one")
    assert.strictEqual(busy.status, 409)
    assert.match(JSON.parse(busy.text).error, /^Model 'one' is loaded by worker 'one-/)
    stream.socket.destroy()
    yield* until(fleet.hive("atlas").inventory, ({ workers }) => workers.every(({ busy }) => busy === 0))
    const removed = yield* remove(queenUrl, "one")
    assert.strictEqual(removed.status, 200, removed.text)
    assert.deepStrictEqual(yield* workers, [])
    assert.strictEqual((yield* post(queenUrl, "/api/show", { model: "one" })).status, 404)
  })
)
