import { assert, describe, it } from "@effect/vitest"
import { type Duration, Effect, Fiber } from "effect"
import { TestClock } from "effect/testing"
import type { Cancellation } from "../../../src/hive/engines/Engine.ts"
import { processingIn } from "../../../src/hive/engines/LlamaServer.ts"
import { stopWhenLeft } from "../../../src/hive/inference/stopRequest.ts"
import type { EngineAnswer } from "../../../src/hive/workers/WorkerClient.ts"

const byDelete: Cancellation = { _tag: "Delete" }
const bySlots: Cancellation = {
  _tag: "Disconnect",
  activity: { path: "/slots", running: processingIn }
}

const slots = (isProcessing: boolean): EngineAnswer => ({
  status: 200,
  text: JSON.stringify([{ is_processing: isProcessing }])
})

interface FakeWorker {
  readonly cancellation: Cancellation
  readonly isHealthy?: boolean
  /** How long it works on the batch at hand; for ever when it is absent. */
  readonly batchTime?: Duration.Input
  /** What it answers at `/slots` during the batch; nothing when it is absent. */
  readonly duringBatch?: EngineAnswer
  /** When its process ends. */
  readonly exited?: Effect.Effect<void>
}

/** Leaves a request that runs on the worker. Gives after how many seconds it was done, and what happened. */
const leave = Effect.fnUntraced(function* (worker: FakeWorker) {
  const { batchTime, cancellation, duringBatch, exited = Effect.never, isHealthy = true } = worker
  const happened: Array<string> = []
  const note = (event: string) => Effect.sync(() => happened.push(event))
  let isBusy = true
  const batch = batchTime === undefined ? Effect.never : Effect.sleep(batchTime)
  yield* Effect.forkChild(
    Effect.andThen(
      batch,
      Effect.sync(() => {
        isBusy = false
      })
    )
  )
  const request = stopWhenLeft(
    {
      cancel: () => Effect.as(batch, "stopped" as const),
      // As the real client, it waits for one second.
      read: () =>
        isBusy && duringBatch === undefined
          ? Effect.as(Effect.sleep("1 second"), undefined)
          : Effect.sync(() => (isBusy ? duringBatch : slots(false)))
    },
    {
      port: 1,
      cancellation,
      exited,
      isHealthy: Effect.succeed(isHealthy),
      withdraw: () => 0,
      restart: () => Effect.asVoid(note("restarted"))
    },
    {
      id: "job-1",
      runsAt: () =>
        Effect.succeed({ isLeftRunning: () => false, unconfirmed: () => void happened.push("unconfirmed") })
    },
    Effect.never
  )
  let doneAfter = 0
  const running = yield* Effect.forkChild(request, { startImmediately: true })
  const leaving = yield* Effect.forkChild(Fiber.interrupt(running))
  while (leaving.pollUnsafe() === undefined && doneAfter < 60) {
    yield* TestClock.adjust("1 second")
    doneAfter++
  }
  yield* Fiber.join(leaving)
  return { doneAfter, happened }
})

describe("stopWhenLeft", () => {
  for (const [name, cancellation] of [
    ["is asked by a request", byDelete],
    ["is stopped by closing the connection", bySlots]
  ] as const) {
    it.effect(`waits for the batch of a slow, healthy worker that ${name}`, () =>
      Effect.gen(function* () {
        const { doneAfter, happened } = yield* leave({ cancellation, batchTime: "12 seconds" })
        assert.deepStrictEqual(happened, [])
        assert.isAtLeast(doneAfter, 12)
        assert.isAtMost(doneAfter, 13)
      })
    )

    it.effect(`restarts a worker that ${name} and is silent for five seconds`, () =>
      Effect.gen(function* () {
        const { doneAfter, happened } = yield* leave({ cancellation, isHealthy: false })
        assert.deepStrictEqual(
          { doneAfter, happened },
          { doneAfter: 5, happened: ["unconfirmed", "restarted"] }
        )
      })
    )

    it.effect(`restarts a healthy worker that ${name} and does not stop within thirty seconds`, () =>
      Effect.gen(function* () {
        const { doneAfter, happened } = yield* leave({ cancellation })
        assert.deepStrictEqual(
          { doneAfter, happened },
          { doneAfter: 30, happened: ["unconfirmed", "restarted"] }
        )
      })
    )

    it.effect(`takes the end of a worker that ${name} for its confirmation`, () =>
      Effect.gen(function* () {
        const exited = Effect.sleep("3 seconds")
        const { doneAfter, happened } = yield* leave({ cancellation, isHealthy: false, exited })
        assert.deepStrictEqual({ doneAfter, happened }, { doneAfter: 3, happened: [] })
      })
    )
  }

  it.effect("waits for an engine whose slots show that the request still runs", () =>
    Effect.gen(function* () {
      const worker = { cancellation: bySlots, batchTime: "8 seconds", duringBatch: slots(true) } as const
      const { doneAfter, happened } = yield* leave(worker)
      assert.deepStrictEqual(happened, [])
      assert.isAtLeast(doneAfter, 8)
      assert.isAtMost(doneAfter, 9)
    })
  )

  it.effect("takes the health check for the confirmation of an engine that shows no slots", () =>
    Effect.gen(function* () {
      const noSlots: EngineAnswer = { status: 501, text: "no slots" }
      for (const worker of [
        { cancellation: bySlots, duringBatch: noSlots },
        { cancellation: { _tag: "Disconnect" } }
      ] as const) {
        const { doneAfter, happened } = yield* leave(worker)
        assert.deepStrictEqual({ doneAfter, happened }, { doneAfter: 1, happened: [] })
      }
    })
  )
})
