import { assert } from "@effect/vitest"
import { Context, Effect, Layer, Schema } from "effect"
import { boundUrl } from "../../src/daemon/DaemonAddress.ts"
import { HiveInventory } from "../../src/operation/Inventory.ts"
import type { SettingChanges } from "../../src/settings/Settings.ts"
import { ask } from "./daemon.ts"
import { hiveLayer, temporaryHome } from "./hive.ts"
import { addInstructModel, instructModel } from "./llamaServer.ts"
import { QueenClient, queenLayer } from "./queen.ts"
import { until } from "./until.ts"

const readInventory = Schema.decodeSync(Schema.fromJsonString(HiveInventory))

/** A queen and its hive, which has the instruct model. */
export class LlamaEndpoints extends Context.Service<
  LlamaEndpoints,
  {
    readonly queen: string
    readonly hive: string
    /** Returns when the hive's only worker is ready and idle, with no other beside it. */
    readonly oneWorker: Effect.Effect<string>
  }
>()("rbee/test/support/llamaEndpoints") {
  static readonly layer = (settings: SettingChanges) =>
    Layer.effect(
      this,
      Effect.gen(function* () {
        const queenContext = yield* Layer.build(
          QueenClient.layer.pipe(Layer.provideMerge(queenLayer({ home: yield* temporaryHome, settings })))
        )
        const { url: queen } = Context.get(queenContext, QueenClient)
        const home = yield* temporaryHome
        yield* addInstructModel(home)
        const context = yield* Layer.build(hiveLayer({ home, id: "atlas", queenUrl: queen, settings }))
        const hive = yield* Effect.provideContext(boundUrl, context)
        yield* Effect.orDie(
          until(ask(queen, { path: "/v1/models" }), ({ text }) => text.includes(instructModel))
        )
        const workers = Effect.map(
          ask(hive, { path: "/v1/inventory" }),
          ({ text }) => readInventory(text).workers
        )
        const oneWorker = Effect.gen(function* () {
          const [worker, ...others] = yield* until(workers, (all) => all.every(({ busy }) => busy === 0))
          assert.deepStrictEqual([worker?.state, others], ["ready", []])
          return String(worker?.worker_id)
        }).pipe(Effect.orDie)
        return LlamaEndpoints.of({ queen, hive, oneWorker })
      })
    )
}

const post = (url: string, path: string, fields: object) =>
  Effect.map(
    ask(url, {
      method: "POST",
      path: `/v1/${path}`,
      headers: { "content-type": "application/json" },
      body: JSON.stringify({ model: instructModel, temperature: 0, max_tokens: 4, ...fields }),
      within: "60 seconds"
    }),
    ({ status, text }) => ({ status, text })
  )

/** The whole answer of a request that succeeds. */
export const answer = (url: string, path: string, fields: object) =>
  Effect.map(post(url, path, fields), ({ status, text }) => {
    assert.strictEqual(status, 200, text)
    return JSON.parse(text)
  })

/** The choices of the chunks of a stream that is complete. */
export const chunks = (url: string, path: string, fields: object) =>
  Effect.map(post(url, path, { ...fields, stream: true }), ({ status, text }) => {
    assert.strictEqual(status, 200, text)
    const data = text
      .split("\n\n")
      .filter((frame) => frame.startsWith("data: "))
      .map((frame) => frame.slice("data: ".length))
    assert.strictEqual(data.pop(), "[DONE]")
    return data.flatMap((chunk) => JSON.parse(chunk).choices)
  })

export const user = (content: unknown) => [{ role: "user", content }]
export const chat = "chat/completions"
export const question = { messages: user("What is the capital of France?") }

/** A request and the refusal that its client gets: the status and words of the sentence. */
export interface Refusal {
  readonly path: string
  readonly fields: object
  readonly status?: number
  readonly code?: string
  readonly words: string
}

/** Sends each request to both daemons; afterwards the one worker is there as before, and it answers. */
export const refusesAll = Effect.fnUntraced(function* (refusals: ReadonlyArray<Refusal>) {
  const { hive, oneWorker, queen } = yield* LlamaEndpoints
  yield* answer(queen, chat, question)
  const before = yield* oneWorker
  for (const { code, fields, path, status = 400, words } of refusals) {
    for (const url of [queen, hive]) {
      const refused = yield* post(url, path, fields)
      assert.strictEqual(refused.status, status, refused.text)
      const { error } = JSON.parse(refused.text)
      assert.include(error.message, words)
      if (code !== undefined) assert.strictEqual(error.code, code)
    }
  }
  assert.strictEqual(yield* oneWorker, before)
  yield* answer(queen, chat, question)
})
