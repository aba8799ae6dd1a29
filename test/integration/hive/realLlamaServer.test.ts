import { assert, it } from "@effect/vitest"
import { Effect, Fiber, Schedule, Stream } from "effect"
import { isEnd } from "../../../src/job/log/JobEvent.ts"
import { Client, resultOf, workerList } from "../../support/hive.ts"
import {
  describeWithLlamaServer,
  instructModel,
  llamaServerSlots,
  withLlamaHive
} from "../../support/llamaServer.ts"
import { until } from "../../support/until.ts"

const infer = {
  operation: "infer",
  hive_id: "test",
  model: instructModel,
  prompt: "The capital of France is",
  max_tokens: 5,
  temperature: 0
}

/** A prompt of some 3,000 tokens, of which the server has none in its cache. */
const longPrompt = Array.from({ length: 700 }, (_, i) => `word${i}`).join(" ")

/** Starts a worker; gives its address. */
const warm = Effect.gen(function* () {
  const client = yield* Client
  assert.include(resultOf(yield* client.events(infer)), "Paris")
  const [worker] = yield* workerList
  return `http://127.0.0.1:${worker?.port}`
})

describeWithLlamaServer("llama-server as engine", () => {
  it.live(
    "stops decoding after a cancel, as its slots confirm",
    () =>
      Effect.gen(function* () {
        const client = yield* Client
        const url = yield* warm
        for (const word of ["one", "two", "three"]) {
          // A model that has said the same so often goes on with it, and does not end its answer.
          const id = yield* client.submit({ ...infer, prompt: `${word} `.repeat(60), max_tokens: 2000 })
          const kinds: Array<string> = []
          const times: Array<number> = []
          let end = ""
          const following = yield* client.follow(id).pipe(
            Stream.runForEach(({ json, kind }) =>
              Effect.sync(() => {
                kinds.push(kind)
                times.push(performance.now())
                if (isEnd(kind)) end = json
              })
            ),
            Effect.forkChild
          )
          const hasTokens = () => kinds.filter((kind) => kind === "token").length >= 8
          yield* until(Effect.sync(hasTokens), (has) => has || end !== "")
          assert.isTrue(hasTokens(), `${kinds.join(" ")}: ${end}`)
          const startedAt = performance.now()
          yield* client.cancel(id)
          const took = performance.now() - startedAt
          // The DELETE answers when nothing of it runs any more.
          assert.strictEqual((yield* llamaServerSlots(url)).filter((slot) => slot.is_processing).length, 0)
          yield* Fiber.join(following)
          assert.strictEqual(end, '{"confirmed":true}')
          // llama-server looks for its clients after each token; what that takes on a busy machine is the machine's.
          const spans = times.slice(1).map((time, i) => time - (times[i] ?? time))
          const longestToken = Math.max(...spans)
          assert.isBelow(took, 100 + 2 * longestToken)
        }
      }).pipe(withLlamaHive),
    120_000
  )

  it.live(
    "stops evaluating a prompt at the end of a batch of 256 tokens",
    () =>
      Effect.gen(function* () {
        const client = yield* Client
        const url = yield* warm
        const id = yield* client.submit({ ...infer, prompt: longPrompt })
        const processed = Effect.map(llamaServerSlots(url), (slots) => {
          const busy = slots.find((slot) => slot.is_processing)
          return busy === undefined ? undefined : (busy.n_prompt_tokens_processed ?? 0)
        })
        const atCancel = yield* until(processed, (count) => count !== undefined && count > 0)
        let last = atCancel ?? 0
        const watching = yield* Effect.repeat(
          Effect.tap(processed, (count) =>
            Effect.sync(() => {
              last = Math.max(last, count ?? 0)
            })
          ),
          { until: (count) => count === undefined, schedule: Schedule.spaced("5 millis") }
        ).pipe(Effect.forkChild)
        yield* client.cancel(id)
        assert.strictEqual((yield* llamaServerSlots(url)).filter((slot) => slot.is_processing).length, 0)
        yield* Fiber.join(watching)
        assert.isAtMost(last - (atCancel ?? 0), 256)
        const events = yield* Stream.runCollect(client.follow(id))
        assert.strictEqual(events.at(-1)?.json, '{"confirmed":true}')
      }).pipe((test) => withLlamaHive(test, { settings: { engine: { contextSize: 8192, parallel: 1 } } })),
    120_000
  )
})
