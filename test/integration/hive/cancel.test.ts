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
  until,
  withHive,
  workerList,
  workerOf
} from "../../support/hive.ts"
import { slowWorkerProgram } from "../../support/programs.ts"

const endless = new URL("../../support/fakeEndlessEngine.ts", import.meta.url).pathname

/** Workers that write until they are stopped, by closing their connection. */
const endlessSettings: SettingChanges = {
  engine: { name: "endless" },
  engines: {
    endless: { command: [process.execPath, endless, "--port", "{port}", "--name", "{model_id}"] }
  }
}

const readState = Schema.decodeUnknownSync(
  Schema.fromJsonString(Schema.Struct({ running: Schema.Int, tokens: Schema.Int }))
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

// In the tokens of an engine that writes one every 20 ms, so that a busy machine slows both down.
const tokensIn100ms = 5

describe("a cancel of a request", () => {
  it.live(
    "closes the connection to the engine at once, and is confirmed when the engine works on nothing",
    () =>
      Effect.gen(function* () {
        const client = yield* Client
        const { port } = workerOf(yield* client.events({ ...spawnTiny, worker: "endless" }))
        const id = yield* client.submit(story)
        const ended = yield* begun(id)
        const before = yield* stateAt(port)
        assert.strictEqual(before.running, 1)
        yield* client.cancel(id)
        const after = yield* stateAt(port)
        assert.strictEqual(after.running, 0)
        assert.isAtMost(after.tokens - before.tokens, tokensIn100ms)
        const events = yield* ended
        assert.deepInclude(events.at(-1), { kind: "cancelled", json: '{"confirmed":true}' })
      }).pipe((test) => withHive(test, { settings: endlessSettings }))
  )

  it.live("reaches the engine from a client of the queen that leaves, or cancels its job", () =>
    Effect.gen(function* () {
      const fleet = yield* startFleet({ hives: ["alpha"], hive: endlessSettings })
      const [worker] = yield* fleet.serve("rbee:tiny", ["alpha"])
      const chat = { model: "rbee:tiny", messages: [{ role: "user", content: "Hi" }] }
      for (const path of ["/v1/chat/completions", "/v1/messages"]) {
        const before = yield* Effect.scoped(
          Effect.gen(function* () {
            const connection = yield* openStream(fleet.queenUrl, path, { ...chat, max_tokens: 400 })
            yield* connection.until((so) => so.body.split("data: ").length > 4 || dataOf(so).length > 4)
            return yield* stateAt(worker?.port)
          })
        )
        assert.strictEqual(before.running, 1)
        const after = yield* until(stateAt(worker?.port), ({ running }) => running === 0)
        assert.isAtMost(after.tokens - before.tokens, 2 * tokensIn100ms)
      }

      const id = yield* fleet.client.submit({ ...story, hive_id: "alpha" })
      yield* until(stateAt(worker?.port), ({ running }) => running === 1)
      yield* fleet.client.ask("DELETE", `/v1/jobs/${id}`)
      assert.strictEqual((yield* stateAt(worker?.port)).running, 0)
      const events = yield* Stream.runCollect(fleet.client.follow(id))
      assert.deepInclude(events.at(-1), { kind: "cancelled", json: '{"confirmed":true}' })
    }).pipe(Effect.scoped)
  )

  it.live("of which no worker knows is confirmed", () =>
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
      `restarts a worker that ${name} and does not confirm it; its other requests fail, so that they can move on`,
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
