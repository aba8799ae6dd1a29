import { assert, describe, it } from "@effect/vitest"
import { Effect, Layer, Result } from "effect"
import type { GatewayRequest, Placement } from "../../../src/gateway/upstream/Upstream.ts"
import { JobFailed, type OperationError } from "../../../src/job/errors.ts"
import type { JobEvent } from "../../../src/job/log/JobEvent.ts"
import { CompletionForwarder } from "../../../src/queen/fleet/CompletionForwarder.ts"
import { type AttemptRequest, HiveAttempt } from "../../../src/queen/fleet/HiveAttempt.ts"
import { HiveUnreachable } from "../../../src/queen/forward/errors.ts"
import {
  AnswerLost,
  NoOtherWorker,
  NotPlaceable,
  type ScheduleError
} from "../../../src/queen/scheduler/errors.ts"
import type { WorkerView } from "../../../src/queen/scheduler/Fleet.ts"
import { FleetView } from "../../../src/queen/scheduler/FleetView.ts"
import type { Outcome } from "../../../src/queen/scheduler/messages.ts"
import { type ReservationRequest, Scheduler } from "../../../src/queen/scheduler/Scheduler.ts"
import { Settings } from "../../../src/settings/Settings.ts"
import { worker } from "../../support/fleetFakes.ts"
import {
  chatRequest,
  finishChunk,
  listedWorker,
  recordedJob,
  snapshot,
  textChunk
} from "../../support/fleetRuns.ts"

/** A worker's part in a request: the events that it sends, and the error that it then fails with. */
interface WorkerScript {
  readonly worker: WorkerView
  readonly events?: ReadonlyArray<JobEvent>
  readonly error?: OperationError
  readonly sharedTokens?: number
}

interface FleetTest {
  readonly request?: Partial<GatewayRequest>
  /** One for each reservation: the worker that the scheduler assigns, or its error. */
  readonly script: ReadonlyArray<WorkerScript | ScheduleError>
}

/** Has a fleet answer a request; gives the result, and what the scheduler, the workers and the client saw. */
const answer = Effect.fnUntraced(function* ({ request, script }: FleetTest) {
  const { emit, job, log, narrated } = recordedJob()
  const reservations: Array<ReservationRequest> = []
  const outcomes: Array<Outcome> = []
  const attempts: Array<AttemptRequest> = []
  const placements: Array<Placement> = []
  let current: WorkerScript | undefined
  const scheduler = Layer.mock(Scheduler)({
    reserve: (asked, narrate) => {
      const next = script[reservations.length]
      reservations.push(asked)
      if (next === undefined) return Effect.die("the scheduler was asked too often")
      if ("_tag" in next) return Effect.fail(next)
      current = next
      narrate("Waiting in position 1")
      return Effect.succeed({
        worker: next.worker,
        sharedTokens: next.sharedTokens ?? 0,
        queueMs: 3,
        loadMs: 1,
        release: (outcome: Outcome) => Effect.sync(() => void outcomes.push(outcome))
      })
    },
    explained: () => []
  })
  const hiveAttempt = Layer.mock(HiveAttempt)({
    run: (attempt) => {
      attempts.push(attempt)
      const { error, events = [] } = current ?? {}
      return Effect.andThen(attempt.take(events), error === undefined ? Effect.void : Effect.fail(error))
    }
  })
  const workers = ["w1", "w2"].map((id) => listedWorker(id))
  const fleet = Layer.mock(FleetView)({
    hasElsewhere: () => true,
    snapshot: () => Effect.succeed([snapshot("atlas", { workers })])
  })
  const complete = chatRequest({ ...request, onPlaced: (placement) => placements.push(placement) })
  const result = yield* CompletionForwarder.use((forwarder) => forwarder.complete(complete)(job, emit)).pipe(
    Effect.provide(
      Layer.provide(CompletionForwarder.layerNoDeps, [
        scheduler,
        hiveAttempt,
        fleet,
        Settings.layerDefaults()
      ])
    ),
    Effect.result
  )
  const texts = log.flatMap(({ json }) => /"content":"([^"]*)"/.exec(json)?.[1] ?? [])
  const narration = narrated().filter((line) => !line.startsWith("wait"))
  return { attempts, narration, outcomes, placements, reservations, result, texts }
})

const done = [textChunk("Hel"), textChunk("lo"), finishChunk]
const died = new JobFailed({ code: "WorkerFailed", sentence: "it exited" })
const engineFailed = new JobFailed({ code: "WorkerRefused", sentence: "broken", details: { status: 500 } })
const tooLong = new JobFailed({ code: "ContextLengthExceeded", sentence: "the prompt has 700 tokens" })

describe("a request that its worker answers", () => {
  it.effect("is forwarded to that worker, and releases it", () =>
    Effect.gen(function* () {
      const { attempts, narration, outcomes, placements, result, texts } = yield* answer({
        script: [{ worker: worker("w1"), events: done, sharedTokens: 256 }]
      })
      assert.isTrue(Result.isSuccess(result))
      assert.deepStrictEqual(texts, ["Hel", "lo"])
      assert.deepStrictEqual(outcomes, ["ok"])
      assert.deepStrictEqual(placements, [{ hive: "atlas", worker: "w1", queueMs: 3, loadMs: 1 }])
      assert.deepStrictEqual(narration, [
        "choose_worker: Chose worker 'w1' on hive 'atlas' (about 256 prompt tokens cached)"
      ])
      const [{ hiveId, json, number, operation } = assert.fail("no attempt")] = attempts
      assert.deepStrictEqual([hiveId, number, operation], ["atlas", 1, "complete"])
      assert.deepStrictEqual(JSON.parse(json), {
        operation: "complete",
        hive_id: "atlas",
        model: "rbee:tiny",
        worker_id: "w1",
        api: "chat/completions",
        body: { messages: [{ role: "user", content: "Hi" }] }
      })
    })
  )
})

describe("a request whose worker fails", () => {
  it.effect("before the first token is sent to another worker", () =>
    Effect.gen(function* () {
      const { attempts, narration, outcomes, reservations, texts } = yield* answer({
        script: [
          { worker: worker("w1"), error: died },
          { worker: worker("w2"), events: done }
        ]
      })
      assert.deepStrictEqual(outcomes, ["fault", "ok"])
      assert.deepStrictEqual(texts, ["Hel", "lo"])
      assert.deepStrictEqual(
        reservations.map(({ attempt, avoid, servingOnly }) => [attempt, avoid, servingOnly]),
        [
          [1, [], false],
          [2, ["atlas/w1"], false]
        ]
      )
      assert.deepStrictEqual(
        attempts.map(({ number }) => number),
        [1, 2]
      )
      assert.deepStrictEqual(narration.slice(1), [
        "retry: Worker 'w1' failed before the first token (it exited); trying another worker",
        "choose_worker: Chose worker 'w2' on hive 'atlas'"
      ])
    })
  )

  it.effect("because its hive failed avoids all workers of that hive", () =>
    Effect.gen(function* () {
      const { outcomes, reservations } = yield* answer({
        script: [
          { worker: worker("w1"), error: new HiveUnreachable({ hive: "atlas", reason: "no answer" }) },
          { worker: worker("w9", { hive: "boreas" }), events: done }
        ]
      })
      assert.deepStrictEqual(outcomes, ["busy", "ok"])
      assert.deepStrictEqual(new Set(reservations[1]?.avoid), new Set(["atlas/w1", "atlas/w2"]))
    })
  )

  it.effect("mid-answer is continued by another worker, after the delivered text", () =>
    Effect.gen(function* () {
      const { attempts, narration, texts } = yield* answer({
        script: [
          { worker: worker("w1"), events: [textChunk("Hel")], error: died },
          { worker: worker("w2"), events: [textChunk("lo"), finishChunk] }
        ]
      })
      assert.deepStrictEqual(texts, ["Hel", "lo"])
      assert.include(attempts[1]?.json, '{"role":"assistant","content":"Hel"}')
      assert.include(
        narration,
        "continue: Worker 'w1' failed mid-answer (it exited); another worker continues after 3 characters"
      )
    })
  )

  it.effect("after the complete answer succeeds without another worker", () =>
    Effect.gen(function* () {
      const { outcomes, result } = yield* answer({
        script: [{ worker: worker("w1"), events: done, error: died }]
      })
      assert.isTrue(Result.isSuccess(result))
      assert.deepStrictEqual(outcomes, ["fault"])
    })
  )

  it.effect("restarts if its client received nothing, and fails with AnswerLost if it did", () =>
    Effect.gen(function* () {
      const body = { messages: [], tools: [{}] }
      const events = [textChunk("Hel")]
      const restarts: Array<number> = []
      const restarted = yield* answer({
        request: { body, isStreamed: false, onRestarted: (after) => restarts.push(after) },
        script: [
          { worker: worker("w1"), events, error: died },
          { worker: worker("w2"), events: done }
        ]
      })
      assert.isTrue(Result.isSuccess(restarted.result))
      assert.lengthOf(restarts, 1)
      const lost = yield* answer({
        request: { body },
        script: [{ worker: worker("w1"), events, error: died }]
      })
      assert.deepStrictEqual(
        lost.result,
        Result.fail(new AnswerLost({ worker: "w1", reason: "it exited", cause: died }))
      )
    })
  )

  it.effect("fails with the last error when all attempts have failed", () =>
    Effect.gen(function* () {
      const attempts = yield* Effect.map(Settings, ({ scheduler }) => scheduler.attempts).pipe(
        Effect.provide(Settings.layerDefaults())
      )
      const script = Array.from({ length: attempts }, () => ({ worker: worker("w1"), error: died }))
      const { outcomes, result } = yield* answer({ script })
      assert.deepStrictEqual(result, Result.fail(died))
      assert.lengthOf(outcomes, attempts)
    })
  )
})

describe("a request that a healthy engine fails", () => {
  it.effect("gets one more worker, of those that serve already", () =>
    Effect.gen(function* () {
      const { outcomes, reservations, result } = yield* answer({
        script: [
          { worker: worker("w1"), error: engineFailed },
          { worker: worker("w2"), error: engineFailed }
        ]
      })
      assert.deepStrictEqual(result, Result.fail(engineFailed))
      assert.deepStrictEqual(outcomes, ["engine", "engine"])
      assert.isTrue(reservations[1]?.servingOnly)
    })
  )

  it.effect("fails with the engine's error if no other worker serves", () =>
    Effect.gen(function* () {
      const { result } = yield* answer({
        script: [{ worker: worker("w1"), error: engineFailed }, new NoOtherWorker({ model: "rbee:tiny" })]
      })
      assert.deepStrictEqual(result, Result.fail(engineFailed))
    })
  )
})

describe("a request that is itself to blame", () => {
  it.effect("fails without another attempt", () =>
    Effect.gen(function* () {
      const error = new JobFailed({ code: "WorkerRefused", sentence: "no", details: { status: 400 } })
      const { outcomes, result } = yield* answer({ script: [{ worker: worker("w1"), error }] })
      assert.deepStrictEqual(result, Result.fail(error))
      assert.deepStrictEqual(outcomes, ["client"])
    })
  )

  it.effect("by its length is tried once with a longer context", () =>
    Effect.gen(function* () {
      const { narration, reservations, result } = yield* answer({
        script: [
          { worker: worker("w1", { contextSize: 512 }), error: tooLong },
          { worker: worker("w2", { contextSize: 1024 }), error: tooLong }
        ]
      })
      assert.deepStrictEqual(result, Result.fail(tooLong))
      const needed = reservations[1]?.minContext ?? 0
      assert.isAbove(needed, 700)
      assert.include(
        narration,
        `retry: The prompt is too long for worker 'w1' (512 tokens); looking for one with a context of ${needed} tokens`
      )
    })
  )
})

describe("a request that no worker has room for", () => {
  it.effect("is tried with any context, as its length is an estimate, and then fails", () =>
    Effect.gen(function* () {
      const error = new NotPlaceable({ model: "rbee:tiny", reason: "no memory" })
      const body = { messages: [{ role: "user", content: "a".repeat(4_000) }] }
      const { reservations, result } = yield* answer({ request: { body }, script: [error, error] })
      assert.deepStrictEqual(result, Result.fail(error))
      assert.isAbove(reservations[0]?.minContext ?? 0, 0)
      assert.isUndefined(reservations[1]?.minContext)
    })
  )
})
