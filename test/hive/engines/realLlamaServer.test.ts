import { assert, it } from "@effect/vitest"
import { Effect } from "effect"
import { Client, resultOf } from "../../support/hive.ts"
import { describeWithLlamaServer, instructModel, withLlamaHive } from "../../support/llamaServer.ts"

describeWithLlamaServer("llama-server as engine", () => {
  it.live(
    "continues a prompt",
    () =>
      Effect.gen(function* () {
        const client = yield* Client
        const events = yield* client.events({
          operation: "infer",
          hive_id: "test",
          model: instructModel,
          prompt: "The capital of France is",
          max_tokens: 5,
          temperature: 0
        })
        assert.include(resultOf(events), "Paris")
      }).pipe(withLlamaHive),
    60_000
  )
})
