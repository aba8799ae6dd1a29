import { assert, describe, it } from "@effect/vitest"
import { Clock, Effect } from "effect"
import { TestClock } from "effect/testing"
import { AnswerEvents } from "../../../src/hive/workers/AnswerEvents.ts"

const events = Effect.map(Clock.Clock, (clock) => new AnswerEvents("w", clock))
const chunk = '{"choices":[{"text":"a"}]}'

describe("AnswerEvents", () => {
  it.effect("passes data on unchanged until the end mark, and notes when the last event came", () =>
    Effect.gen(function* () {
      const answer = yield* events
      yield* TestClock.adjust("2 seconds")
      assert.isUndefined(answer.lastAt)
      assert.strictEqual(answer.read(chunk, undefined), chunk)
      assert.strictEqual(answer.lastAt, 2000)
      assert.isFalse(answer.isOver)
      assert.isUndefined(answer.read("[DONE]", undefined))
      assert.isTrue(answer.isOver)
      assert.isUndefined(answer.incomplete)
    })
  )

  it.effect(
    "does not count prompt progress as the first token, but passes on a text that looks like it",
    () =>
      Effect.gen(function* () {
        const answer = yield* events
        assert.isUndefined(answer.read('{"choices":[],"prompt_progress":{"total":5}}', undefined))
        assert.isUndefined(answer.lastAt)
        answer.read(chunk, undefined)
        const text = '{"choices":[{"text":"\\"prompt_progress\\":"}],"prompt_progress":1}'
        assert.strictEqual(answer.read(text, undefined), text)
      })
  )

  it.effect("fails with the first error, in either form that engines use", () =>
    Effect.gen(function* () {
      for (const [data, event] of [
        ['{"error":{"message":"broken","code":503}}', undefined],
        ['{"message":"broken","code":503}', "error"]
      ] as const) {
        const answer = yield* events
        assert.isUndefined(answer.read(data, event))
        answer.read('{"error":{"message":"later"}}', undefined)
        assert.isTrue(answer.isOver)
        assert.deepInclude(answer.incomplete, { _tag: "WorkerRefused", detail: "broken", status: 503 })
      }
    })
  )

  it.effect("is incomplete when the connection ends before the end mark", () =>
    Effect.gen(function* () {
      const answer = yield* events
      answer.read(chunk, undefined)
      assert.deepInclude(answer.incomplete, { _tag: "WorkerGone", reason: "the answer broke off" })
    })
  )
})
