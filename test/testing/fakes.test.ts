import { assert, describe, it } from "@effect/vitest"
import { Deferred, Effect, Fiber, Layer, Stream } from "effect"
import { DaemonClient } from "../../src/daemon/DaemonClient.ts"
import { hivePool } from "../../src/http/hivePool.ts"
import { JobsClient } from "../../src/job/client/JobsClient.ts"
import { TokenEvent } from "../../src/job/Event.ts"
import { JobEvent } from "../../src/job/log/JobEvent.ts"
import { WorkerList } from "../../src/operation/workerOperations.ts"
import { HiveNotFound } from "../../src/queen/forward/errors.ts"
import { HiveForwarder } from "../../src/queen/forward/HiveForwarder.ts"
import { Settings } from "../../src/settings/Settings.ts"
import { FakeHive, fakeForwarder, fakeHttpClient, type Script } from "../../src/testing/index.ts"

const list = new WorkerList({ hive_id: "atlas" })
const body = `{"operation":"worker_list","hive_id":"atlas"}`

const counting: Script = () => Stream.make(JobEvent.token("one"), JobEvent.result({ workers: [] }))

const kindsOf = (events: ReadonlyArray<JobEvent>) => events.map(({ kind }) => kind).join(" ")

const settings = Settings.layerDefaults()
const clients = Layer.merge(DaemonClient.layerNoDeps, JobsClient.layerNoDeps)
const overSocket = clients.pipe(Layer.provide(hivePool), Layer.provide(settings))
const without = (hives: Readonly<Record<string, Script>>) =>
  clients.pipe(Layer.provide([fakeHttpClient(hives), settings]))

const run = (url: string) =>
  Effect.gen(function* () {
    const client = yield* JobsClient
    const id = yield* client.submit({ url }, body)
    return yield* Stream.runCollect(client.events({ url }, id))
  })

/** Starts a job that waits for ever, cancels it at its first token, and gives what was seen. */
const cancelled = (url: string) =>
  Effect.gen(function* () {
    const client = yield* JobsClient
    const daemons = yield* DaemonClient
    const started = yield* Deferred.make<void>()
    const id = yield* client.submit({ url }, body)
    const following = yield* client.events({ url }, id).pipe(
      Stream.tap(({ kind }) => (kind === "token" ? Deferred.succeed(started, undefined) : Effect.void)),
      Stream.runCollect,
      Effect.forkChild
    )
    yield* Deferred.await(started)
    yield* daemons.cancel({ url }, id)
    return kindsOf(yield* Fiber.join(following))
  })

const endless: Script = () => Stream.concat(Stream.make(JobEvent.token("one")), Stream.never)

describe("a raw FakeHive", () => {
  it.live("answers with any bytes, and tells what it was asked", () =>
    Effect.gen(function* () {
      const hive = yield* FakeHive.makeRaw((request, response, body) =>
        request.method === "POST" ? response.end(`got ${body}`) : response.socket?.resetAndDestroy()
      )
      const seen = yield* Effect.forkChild(hive.seen("GET", "/health"))
      const answer = yield* Effect.promise(() =>
        fetch(`${hive.url}/v1/jobs?a=1`, { method: "POST", body: "{}" }).then((response) => response.text())
      )
      assert.strictEqual(answer, "got {}")
      assert.isUndefined(seen.pollUnsafe())
      const reset = yield* Effect.flip(Effect.tryPromise(() => fetch(`${hive.url}/health`)))
      assert.include(String(reset.cause), "fetch failed")
      yield* Fiber.join(seen)
      assert.deepStrictEqual(hive.requests, [
        { method: "POST", path: "/v1/jobs?a=1", body: "{}" },
        { method: "GET", path: "/health", body: "" }
      ])
      assert.deepStrictEqual(yield* hive.received, ["{}"])
      assert.isAtLeast(hive.connections(), 1)
    })
  )

  it.live("resets its connections when its scope closes", () =>
    Effect.gen(function* () {
      const asking = yield* Effect.scoped(
        Effect.gen(function* () {
          const hive = yield* FakeHive.makeRaw(() => {})
          const asking = yield* Effect.forkDetach(Effect.flip(Effect.tryPromise(() => fetch(hive.url))))
          yield* hive.seen("GET", "/")
          return asking
        })
      )
      assert.include(String((yield* Fiber.join(asking)).cause), "fetch failed")
    })
  )
})

describe("FakeHive", () => {
  it.live("answers by its script over a socket, and records the requests", () =>
    Effect.gen(function* () {
      const { received, url } = yield* FakeHive
      assert.strictEqual(kindsOf(yield* run(url)), "narration token result done")
      assert.deepStrictEqual(yield* received, [body])
    }).pipe(Effect.provide([FakeHive.layer(counting), overSocket]))
  )

  it.live("isolates two fakes", () =>
    Effect.gen(function* () {
      const one = yield* FakeHive.make(counting)
      const other = yield* FakeHive.make(counting)
      yield* run(one.url)
      assert.lengthOf(yield* one.received, 1)
      assert.lengthOf(yield* other.received, 0)
      assert.notStrictEqual(one.url, other.url)
    }).pipe(Effect.provide(overSocket))
  )

  it.live("ends a cancelled job", () =>
    Effect.gen(function* () {
      const { url } = yield* FakeHive.make(endless)
      assert.strictEqual(yield* cancelled(url), "narration token cancelled")
    }).pipe(Effect.provide(overSocket))
  )

  it.live("stops with its scope", () =>
    Effect.gen(function* () {
      const { url } = yield* Effect.scoped(FakeHive.make(counting))
      assert.strictEqual((yield* Effect.flip(run(url)))._tag, "PeerUnreachable")
    }).pipe(Effect.provide(overSocket))
  )
})

describe("fakeHttpClient", () => {
  it.live("serves each origin by its own script", () =>
    Effect.gen(function* () {
      const [first, second] = yield* Effect.all([run("http://atlas:8081"), run("http://boreas:8081")])
      assert.strictEqual(kindsOf(first), "narration token result done")
      assert.strictEqual(second.find(({ kind }) => kind === "result")?.json, `"boreas"`)
    }).pipe(
      Effect.provide(
        without({
          "http://atlas:8081": counting,
          "http://boreas:8081": () => Stream.make(JobEvent.result("boreas"))
        })
      )
    )
  )

  it.live("cancels a job, and refuses connections to other origins", () =>
    Effect.gen(function* () {
      assert.strictEqual(yield* cancelled("http://atlas:8081"), "narration token cancelled")
      const error = yield* Effect.flip(run("http://gone:8081"))
      assert.deepInclude(error, { _tag: "PeerUnreachable", reason: "refused" })
    }).pipe(Effect.provide(without({ "http://atlas:8081": endless })))
  )
})

describe("fakeForwarder", () => {
  it.effect("emits the script's events and errors", () =>
    Effect.gen(function* () {
      const { forward, forwardJson } = yield* HiveForwarder
      const events = yield* Stream.runCollect(forward(list))
      assert.deepStrictEqual(events[0], new TokenEvent({ id: undefined, text: "worker_list at atlas" }))
      const json = `{"operation":"dance","hive_id":"xyz"}`
      const { routing } = WorkerList
      const error = yield* Effect.flip(
        forwardJson({ operation: "dance", hiveId: "xyz", json, routing }, () => Effect.void)
      )
      assert.deepStrictEqual(error, new HiveNotFound({ hive: "xyz", known: ["atlas"] }))
    }).pipe(
      Effect.provide(
        fakeForwarder(({ hiveId = "", name }) =>
          hiveId === "atlas"
            ? Stream.make(JobEvent.token(`${name} at ${hiveId}`))
            : Stream.fail(new HiveNotFound({ hive: hiveId, known: ["atlas"] }))
        )
      )
    )
  )
})
