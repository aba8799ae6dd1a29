import { assert, describe, it } from "@effect/vitest"
import { Effect, Fiber, Schema, Stream } from "effect"
import type { JobEvent } from "../../../src/job/log/JobEvent.ts"
import type { SettingChanges } from "../../../src/settings/Settings.ts"
import { dataOf, openStream } from "../../support/applications.ts"
import { ask } from "../../support/daemon.ts"
import { signal, startFleet } from "../../support/fleet.ts"
import {
  Client,
  failureOf,
  inferTiny,
  spawnTiny,
  withHive,
  workerList,
  workerOf
} from "../../support/hive.ts"
import { slowWorkerProgram } from "../../support/programs.ts"
import { until } from "../../support/until.ts"

const endless = new URL("../../support/fakeEndlessEngine.ts", import.meta.url).pathname

/** Workers that write until they are stopped, by closing their connection. */
const endlessSettings: SettingChanges = {
  engine: { name: "endless" },
  engines: {
    endless: { command: [process.execPath, endless, "--port", "{port}", "--name", "{model_id}"] }
  }
}

const readState = Schema.decodeUnknownSync(
  Schema.fromJsonString(Schema.Struct({ running: Schema.Int, tokens: Schema.Int, stoppedAt: Schema.Finite }))
)

/** What an endless engine does now. */
const stateAt = (port: number | undefined) =>
  Effect.map(ask(`http://127.0.0.1:${port}`, { path: "/state" }), ({ text }) => readState(text))

const story = { ...inferTiny, max_tokens: 400 }

/** Follows a job; returns when it has written some tokens. */
const begun = Effect.fnUntraced(function* (id: string) {
  const client = yield* Client
  const events: Array<JobEvent> = []
  const following = yield* client.follow(id).pipe(
    Stream.runForEach((event) => Effect.sync(() => events.push(event))),
    Effect.forkChild
  )
  yield* until(
    Effect.sync(() => events.filter(({ kind }) => kind === "token").length),
    (tokens) => tokens >= 3
  )
  return Effect.as(Fiber.join(following), events)
})

const now = () => performance.timeOrigin + performance.now()

const median = (values: ReadonlyArray<number>) =>
  [...values].sort((left, right) => left - right)[Math.floor(values.length / 2)] ?? Number.NaN

const runs = 7
const limit = 100

/** The median time of several cancels, in milliseconds, from the client's act to the engine's end of work. */
const cancelTime = Effect.fnUntraced(function* <E, R>(
  port: number | undefined,
  cancelled: Effect.Effect<number, E, R>
) {
  const times: Array<number> = []
  for (let run = 0; run < runs; run++) {
    const leftAt = yield* cancelled
    const { stoppedAt } = yield* until(stateAt(port), ({ running }) => running === 0)
    times.push(stoppedAt - leftAt)
  }
  return median(times)
})

describe("a cancel of a request", () => {
  it.live(
    "closes the connection to the engine within 100 ms, and is confirmed after the engine has stopped",
    () =>
      Effect.gen(function* () {
        const client = yield* Client
        const { port } = workerOf(yield* client.events({ ...spawnTiny, worker: "endless" }))
        const cancelled = Effect.gen(function* () {
          const id = yield* client.submit(story)
          const ended = yield* begun(id)
          assert.strictEqual((yield* stateAt(port)).running, 1)
          const leftAt = now()
          yield* client.cancel(id)
          assert.strictEqual((yield* stateAt(port)).running, 0)
          assert.deepInclude((yield* ended).at(-1), { kind: "cancelled", json: '{"confirmed":true}' })
          return leftAt
        })
        assert.isBelow(yield* cancelTime(port, cancelled), limit)
      }).pipe((test) => withHive(test, { settings: endlessSettings }))
  )

  it.live("reaches the engine within 100 ms after a client of the queen disconnects or cancels its job", () =>
    Effect.gen(function* () {
      const fleet = yield* startFleet({ hives: ["alpha"], hive: endlessSettings })
      const [worker] = yield* fleet.serve("rbee:tiny", ["alpha"])
      const port = worker?.port
      const chat = { model: "rbee:tiny", messages: [{ role: "user", content: "Hi" }] }
      for (const path of ["/v1/chat/completions", "/v1/messages"]) {
        const left = Effect.scoped(
          Effect.gen(function* () {
            const connection = yield* openStream(fleet.queenUrl, path, { ...chat, max_tokens: 400 })
            yield* connection.until((so) => so.body.split("data: ").length > 4 || dataOf(so).length > 4)
            assert.strictEqual((yield* stateAt(port)).running, 1)
            return now()
          })
        )
        assert.isBelow(yield* cancelTime(port, left), limit, path)
      }

      const cancelled = Effect.gen(function* () {
        const id = yield* fleet.client.submit({ ...story, hive_id: "alpha" })
        yield* until(stateAt(port), ({ running }) => running === 1)
        const leftAt = now()
        yield* fleet.client.ask("DELETE", `/v1/jobs/${id}`)
        assert.strictEqual((yield* stateAt(port)).running, 0)
        const events = yield* Stream.runCollect(fleet.client.follow(id))
        assert.deepInclude(events.at(-1), { kind: "cancelled", json: '{"confirmed":true}' })
        return leftAt
      })
      assert.isBelow(yield* cancelTime(port, cancelled), limit, "DELETE")
    }).pipe(Effect.scoped)
  )

  it.live("that no worker knows is confirmed", () =>
    Effect.gen(function* () {
      const client = yield* Client
      // It waits for its worker to start.
      const id = yield* client.submit(story)
      yield* until(workerList, (workers) => workers.length === 1)
      yield* client.cancel(id)
      const events = yield* Stream.runCollect(client.follow(id))
      assert.deepInclude(events.at(-1), { kind: "cancelled", json: '{"confirmed":true}' })
    }).pipe(withHive)
  )

  const deaf = [
    ["is asked by a request", { worker: slowWorkerProgram }],
    ["is stopped by closing the connection", { settings: endlessSettings }]
  ] as const
  for (const [name, options] of deaf) {
    it.live(
      `restarts a worker that ${name} and does not confirm it; its other requests fail, so that another worker can answer them`,
      () =>
        Effect.gen(function* () {
          const client = yield* Client
          const id = yield* client.submit(story)
          const ended = yield* begun(id)
          const otherEnded = yield* begun(yield* client.submit(story))
          const [worker] = yield* workerList
          signal(worker?.pid, "SIGSTOP")
          yield* client.cancel(id)
          const events = yield* ended
          assert.deepInclude(events.at(-1), { kind: "cancelled", json: '{"confirmed":false}' })
          // By then the process has ended.
          assert.strictEqual(failureOf(yield* otherEnded).code, "WorkerFailed")
          const [next] = yield* until(workerList, ([found]) => found?.state === "ready")
          assert.strictEqual(next?.id, worker?.id)
          assert.notStrictEqual(next?.pid, worker?.pid)
        }).pipe((test) => withHive(test, options)),
      60_000
    )
  }
})
