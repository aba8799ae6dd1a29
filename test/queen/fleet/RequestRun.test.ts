import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import type { GatewayRequest } from "../../../src/gateway/upstream/Upstream.ts"
import { JobFailed } from "../../../src/job/errors.ts"
import { JobEvent } from "../../../src/job/log/JobEvent.ts"
import { RequestRun } from "../../../src/queen/fleet/RequestRun.ts"
import { chatRequest, finishChunk, recordedJob, textChunk } from "../../support/fleetRuns.ts"

const startedAt = 1_000

const start = (changes: Partial<GatewayRequest> = {}) => {
  const recorded = recordedJob()
  const request = chatRequest(changes)
  return { ...recorded, run: new RequestRun(request, recorded.job, recorded.emit, startedAt) }
}

const first = { number: 1, body: {} }
const tooLong = new JobFailed({ code: "ContextLengthExceeded", sentence: "the prompt has 700 tokens" })
const opening = new JobEvent("chunk", JSON.stringify({ choices: [{ delta: { role: "assistant" } }] }))
const usage = new JobEvent(
  "chunk",
  JSON.stringify({ choices: [], usage: { prompt_tokens: 12, completion_tokens: 8, total_tokens: 20 } })
)

describe("the reservation of an attempt", () => {
  it("has the requirements of the request, and is numbered", () => {
    const { run } = start({ key: "k", priority: 3, body: { messages: [], tools: [{}], max_tokens: 7 } })
    const { attempt, avoid, capabilities, id, key, model, priority, servingOnly, waitMs } = run.reservation(
      first,
      startedAt
    )
    assert.deepStrictEqual([id, attempt, model, key, priority], ["job-1", 1, "rbee:tiny", "k", 3])
    assert.deepStrictEqual([avoid, servingOnly, waitMs], [[], false, undefined])
    assert.isTrue(capabilities?.includes("tools"))
  })

  it("waits no longer than the request may wait in all its attempts", () => {
    const { run } = start({ waitMs: 500 })
    const waits = [0, 200, 900].map((after) => run.reservation(first, startedAt + after).waitMs)
    assert.deepStrictEqual(waits, [500, 300, 0])
  })

  it("avoids workers that failed, and wants a serving worker after a failure of an engine", () => {
    const { run } = start()
    const earlier = run.reservation(first, startedAt)
    run.avoid(["atlas/w1", "atlas/w2"])
    const { attempt, avoid, servingOnly } = run.reservation(
      { number: 2, body: {}, engineFailure: tooLong },
      startedAt
    )
    assert.deepStrictEqual([attempt, avoid, servingOnly], [2, ["atlas/w1", "atlas/w2"], true])
    assert.deepStrictEqual(earlier.avoid, [])
  })

  it("demands the context that was found to be needed", () => {
    const { run } = start()
    run.requireContext(956)
    assert.strictEqual(run.reservation(first, startedAt).minContext, 956)
  })
})

describe("a longer context", () => {
  it("is sought once, for a prompt that a worker rejected as too long", () => {
    const { run } = start()
    const needed = run.longerContext(512, tooLong)
    assert.isDefined(needed)
    assert.isAbove(needed ?? 0, 512)
    run.requireContext(needed ?? 0)
    assert.isUndefined(run.longerContext(512, tooLong))
  })

  it.effect("is not sought for another error, with the longest context, or after a part of the answer", () =>
    Effect.gen(function* () {
      const { run } = start()
      assert.isUndefined(run.longerContext(512, new JobFailed({ code: "WorkerFailed", sentence: "no" })))
      assert.isUndefined(run.longerContext(2048, tooLong))
      yield* run.relay([textChunk("a")], 1)
      assert.isUndefined(run.longerContext(512, tooLong))
    })
  )
})

describe("failures of a healthy engine", () => {
  it("are counted, and no others", () => {
    const { run } = start()
    for (const outcome of ["engine", "fault", "busy", "engine"] as const) run.recordFailure(outcome)
    assert.strictEqual(run.engineFailures, 2)
  })
})

describe("the answer", () => {
  it.effect("is relayed as one answer when another worker continues it", () =>
    Effect.gen(function* () {
      const { job, log, run } = start()
      yield* run.relay([opening, textChunk("Hel"), textChunk("lo"), usage], 1)
      const delivered = run.delivered(yield* job.readEvents)
      assert.deepStrictEqual([delivered.length, delivered.pieces], [5, 2])
      assert.strictEqual(run.prepare("continue", delivered, log.length), delivered.body)
      yield* run.relay([opening, textChunk("!"), finishChunk, usage], 2)
      const texts = log.map(({ json }) => /"content":"([^"]*)"/.exec(json)?.[1])
      assert.deepStrictEqual(texts, [undefined, "Hel", "lo", undefined, "!", undefined, undefined])
      assert.include(log.at(3)?.json, '"prompt_tokens":12,"completion_tokens":8')
      assert.include(log.at(-1)?.json, '"prompt_tokens":10,"completion_tokens":10')
      assert.isTrue(run.delivered(yield* job.readEvents).isComplete)
    })
  )

  it.effect("counts only from its restart, of which the request is notified", () =>
    Effect.gen(function* () {
      const restarts: Array<number> = []
      const { job, log, run } = start({ isStreamed: false, onRestarted: (after) => restarts.push(after) })
      yield* run.relay([textChunk("abandoned")], 1)
      const delivered = run.delivered(yield* job.readEvents)
      assert.strictEqual(run.prepare("restart", delivered, 1), run.request.body)
      assert.deepStrictEqual(restarts, [1])
      assert.isFalse(run.hasBegun)
      yield* run.relay([textChunk("new")], 2)
      assert.isTrue(run.hasBegun)
      assert.lengthOf(log, 2)
      assert.strictEqual(run.delivered(yield* job.readEvents).length, 3)
    })
  )
})
