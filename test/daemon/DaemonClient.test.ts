import { assert, describe, it } from "@effect/vitest"
import { Duration, Effect, Layer, Redacted, Result, Stream } from "effect"
import { DaemonClient } from "../../src/daemon/DaemonClient.ts"
import { hivePool } from "../../src/http/hivePool.ts"
import { JobEvent } from "../../src/job/log/JobEvent.ts"
import { Settings } from "../../src/settings/Settings.ts"
import { FakeHive } from "../../src/testing/FakeHive.ts"
import { startDaemon, submitTo } from "../support/daemon.ts"
import { json } from "../support/rawAnswers.ts"

const clientWith = (limits: { readonly bodyBytes?: number; readonly submit?: Duration.Duration } = {}) =>
  DaemonClient.layerNoDeps.pipe(
    Layer.provide(hivePool),
    Layer.provide(
      Settings.layerDefaults({
        limits: { bodyBytes: limits.bodyBytes ?? 16_000_000 },
        timeouts: { submit: limits.submit ?? Duration.seconds(30) }
      })
    )
  )

/** Calls `health`, `buildInfo` and `job` of a daemon whose every response is the given one; gives the errors. */
const errorsOf = (status: number, body: string, contentType = "application/json") =>
  Effect.gen(function* () {
    const client = yield* DaemonClient
    const { url } = yield* FakeHive.makeRaw((_, response) =>
      response.writeHead(status, { "content-type": contentType }).end(body)
    )
    const calls = [client.health({ url }), client.buildInfo({ url }), client.job({ url }, "job-1")]
    return yield* Effect.forEach(calls, (call) =>
      Effect.match(call, {
        onFailure: (error) => `${error._tag}: ${error.message.replace(url, "URL")}`,
        onSuccess: () => "no error"
      })
    )
  }).pipe(Effect.scoped, Effect.provide(clientWith({ bodyBytes: 1000 })))

describe("DaemonClient", () => {
  it.live("calls a daemon: its health, its name, its jobs, and a stop", () =>
    Effect.gen(function* () {
      const client = yield* DaemonClient
      const { url } = yield* startDaemon({
        token: "a-token-of-sixteen-or-more",
        works: {
          wait: () => () => Stream.never,
          list: () => () => Stream.make(JobEvent.result({}))
        }
      })
      const peer = { url, token: Redacted.make("a-token-of-sixteen-or-more") }
      const headers = { authorization: "Bearer a-token-of-sixteen-or-more" }
      yield* client.health({ url })
      assert.strictEqual((yield* client.buildInfo(peer)).name, "test")
      const id = yield* submitTo(url, { operation: "wait" }, headers)
      assert.strictEqual((yield* client.job(peer, id)).operation, "wait")
      assert.deepStrictEqual(
        (yield* client.jobs(peer)).map(({ job_id }) => job_id),
        [id]
      )
      yield* client.cancel(peer, id)
      assert.strictEqual((yield* client.job(peer, id)).state, "cancelled")
      const ended = yield* Effect.flip(client.cancel(peer, id))
      assert.deepInclude(ended, { _tag: "PeerRefused", status: 409, code: "JobEnded" })
      const unknown = yield* Effect.flip(client.job(peer, "job-x"))
      assert.deepInclude(unknown, { _tag: "PeerRefused", status: 404, code: "JobNotFound" })
      const stranger = yield* Effect.flip(client.jobs({ url }))
      assert.deepInclude(stranger, { _tag: "PeerRefused", status: 401, code: "Unauthorized" })
      yield* client.shutdown(peer)
    }).pipe(Effect.scoped, Effect.provide(clientWith()))
  )

  it.live("accepts responses without a content type, and with fields that it does not know", () =>
    Effect.gen(function* () {
      const client = yield* DaemonClient
      const { url } = yield* FakeHive.makeRaw((request, response) =>
        response.end(request.url === "/health" ? "ok\n" : `{"name":"queen","mood":"good"}`)
      )
      yield* client.health({ url })
      assert.deepStrictEqual(yield* client.buildInfo({ url }), { name: "queen" })
    }).pipe(Effect.scoped, Effect.provide(clientWith()))
  )

  it.live("fails as PeerRefused with the sentence of the daemon, or with the status", () =>
    Effect.gen(function* () {
      const json = yield* errorsOf(503, `{"error":{"code":"Busy","message":"Too busy"}}`)
      assert.deepStrictEqual(json, Array<string>(3).fill("PeerRefused: Too busy"))
      const missing = yield* errorsOf(404, "Not Found", "text/plain")
      assert.deepStrictEqual(missing, Array<string>(3).fill("PeerRefused: Not Found"))
      const empty = yield* errorsOf(404, "")
      assert.deepStrictEqual(empty, Array<string>(3).fill("PeerRefused: answered with the status 404"))
      // A JSON document of the API, but not with the status of the API.
      const accepted = yield* errorsOf(202, `{"name":"queen"}`)
      assert.deepStrictEqual(accepted, Array<string>(3).fill(`PeerRefused: {"name":"queen"}`))
    })
  )

  it.live("fails as PeerMisspoke on a response that the API does not describe", () =>
    Effect.gen(function* () {
      const misspoke = (...details: ReadonlyArray<string>) =>
        details.map((detail) => `PeerMisspoke: The daemon at URL ${detail}`)
      const unexpected = misspoke(
        "did not answer 'ok' at /health",
        "sent an unexpected response for /v1/build-info",
        "sent an unexpected response for /v1/jobs/job-1"
      )
      assert.deepStrictEqual(yield* errorsOf(200, `{"name":7}`), unexpected)
      assert.deepStrictEqual(yield* errorsOf(200, "<html>", "text/html"), unexpected)
      assert.deepStrictEqual(yield* errorsOf(200, ""), unexpected)
      const nested = `${"[".repeat(400)}${"]".repeat(400)}`
      assert.deepStrictEqual(
        yield* errorsOf(200, nested),
        misspoke(
          ...["/health", "/v1/build-info", "/v1/jobs/job-1"].map(
            (path) => `sent JSON that is nested too deeply for ${path}`
          )
        )
      )
      assert.deepStrictEqual(
        yield* errorsOf(200, `{"name":"${"n".repeat(1000)}"}`),
        misspoke(...Array<string>(3).fill("sent an answer of more than 1000 bytes"))
      )
    })
  )

  it.live("fails as PeerUnreachable without a daemon, and as PeerTimeout if nothing comes", () =>
    Effect.gen(function* () {
      const client = yield* DaemonClient
      const { url } = yield* FakeHive.makeRaw(() => {})
      assert.deepInclude(yield* Effect.flip(client.inventory({ url })), {
        _tag: "PeerTimeout",
        limit: "submit"
      })
      const gone = (yield* Effect.scoped(FakeHive.makeRaw(() => {}))).url
      const refused = yield* Effect.flip(client.heartbeat({ url: gone }))
      assert.deepInclude(refused, { _tag: "PeerUnreachable", reason: "refused" })
    }).pipe(Effect.scoped, Effect.provide(clientWith({ submit: Duration.millis(200) })))
  )

  it.live("sends heartbeats with a token, and keeps two concurrent calls apart", () =>
    Effect.gen(function* () {
      const client = yield* DaemonClient
      const tokens: Array<string | undefined> = []
      const queen = yield* FakeHive.makeRaw((request, response) => {
        tokens.push(request.headers.authorization)
        json(response, { status: "ok", message: "Heartbeat received from atlas" })
      })
      const heartbeat = { hive_id: "atlas", url: "http://192.0.2.7:8081", workers: [] }
      yield* client.sendHeartbeat({ url: queen.url, token: Redacted.make("secret") }, heartbeat)
      assert.deepStrictEqual(tokens, ["Bearer secret"])
      const [sent] = queen.requests
      assert.deepInclude(sent, { method: "POST", path: "/v1/heartbeat" })
      assert.deepStrictEqual(JSON.parse(sent?.body ?? ""), heartbeat)
      const hives = yield* Effect.forEach(["one", "two"], (hive_id) =>
        FakeHive.makeRaw((_, response) => json(response, { hive_id, workers: [] }))
      )
      const beats = yield* Effect.forEach(hives, client.heartbeat, { concurrency: "unbounded" })
      assert.deepStrictEqual(
        beats.map(({ hive_id }) => hive_id),
        ["one", "two"]
      )
    }).pipe(Effect.scoped, Effect.provide(clientWith()))
  )

  it.live("loads the API once more if the first call is interrupted", () =>
    Effect.gen(function* () {
      const client = yield* DaemonClient
      const { url } = yield* FakeHive.makeRaw((_, response) => json(response, { name: "queen" }))
      const first = yield* Effect.timeout(client.buildInfo({ url }), 0).pipe(Effect.result)
      assert.isTrue(Result.isFailure(first))
      assert.strictEqual((yield* client.buildInfo({ url })).name, "queen")
    }).pipe(Effect.scoped, Effect.provide(clientWith()))
  )
})
