import { assert, describe, it } from "@effect/vitest"
import { Deferred, Effect, Fiber, Stream } from "effect"
import { streamWork } from "../../../src/job/Submission.ts"
import { hiveCommand } from "../../../src/operation/Routing.ts"
import { ask } from "../../support/daemon.ts"
import { startGateway } from "../../support/gateway.ts"
import type { StreamWork } from "../../support/jobs.ts"

/** Sends a request whose job another client cancels; returns the response. */
const cancelled = Effect.fnUntraced(function* (path: string, body: object) {
  const started = yield* Deferred.make<string>()
  const work: StreamWork = ({ id }) =>
    Stream.concat(Stream.fromEffectDrain(Deferred.succeed(started, id)), Stream.never)
  const { jobs, url } = yield* startGateway({
    complete: () => work,
    settings: { scheduler: { download: true } },
    route: () => ({
      operation: "model_download",
      routing: hiveCommand,
      router: "test",
      work: streamWork(work)
    })
  })
  const text = JSON.stringify(body)
  const response = yield* Effect.forkScoped(
    ask(url, { method: "POST", path, headers: { "content-length": text.length }, body: text })
  )
  yield* jobs.cancel(yield* Deferred.await(started))
  return yield* Fiber.join(response)
})

describe("a request whose own job is cancelled", () => {
  it.live("is 499 JobCancelled", () =>
    Effect.gen(function* () {
      for (const stream of [true, false]) {
        const { status, text } = yield* cancelled("/v1/chat/completions", {
          model: "rbee:tiny",
          messages: [{ role: "user", content: "Hi" }],
          stream
        })
        assert.strictEqual(status, 499)
        assert.deepInclude(JSON.parse(text).error, {
          message: "The request was cancelled by another client",
          code: "JobCancelled"
        })
      }
    })
  )
})

describe("a request that waits for a download that is cancelled", () => {
  it.live("is 500 JobFailed: its own job was not cancelled", () =>
    Effect.gen(function* () {
      const { status, text } = yield* cancelled("/v1/chat/completions", {
        model: "hf:org/missing",
        messages: [{ role: "user", content: "Hi" }]
      })
      assert.strictEqual(status, 500)
      assert.deepInclude(JSON.parse(text).error, { message: "The job was cancelled", code: "JobFailed" })
    })
  )

  it.live("is 500 at Ollama's pull, streamed or not", () =>
    Effect.gen(function* () {
      for (const stream of [true, false]) {
        const { status, text } = yield* cancelled("/api/pull", { model: "llama3.2:1b", stream })
        assert.deepStrictEqual([status, text], [500, `{"error":"The job was cancelled"}`])
      }
    })
  )
})
