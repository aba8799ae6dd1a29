import type * as http from "node:http"
import { assert, describe, it } from "@effect/vitest"
import { Duration, Effect, Exit, Fiber, Layer, Schema, Stream } from "effect"
import { LineEvent, NarrationEvent, TokenEvent } from "../../../src/job/Event.ts"
import { JobEvent } from "../../../src/job/log/JobEvent.ts"
import type { RemoteWork, RunningJob } from "../../../src/job/Submission.ts"
import { HiveId } from "../../../src/operation/fields.ts"
import { Infer } from "../../../src/operation/inferenceOperations.ts"
import { type Operation } from "../../../src/operation/Operation.ts"
import { hiveAnswer, hiveQuery, queenQuery } from "../../../src/operation/Routing.ts"
import { WorkerList, WorkerSpawn } from "../../../src/operation/workerOperations.ts"
import { HiveDirectory } from "../../../src/queen/forward/HiveDirectory.ts"
import { HiveForwarder } from "../../../src/queen/forward/HiveForwarder.ts"
import { type SettingChanges, Settings } from "../../../src/settings/Settings.ts"
import { FakeHive } from "../../../src/testing/FakeHive.ts"
import { fakeSocket } from "../../support/fakeSocket.ts"
import { eventStream, hiveWith, json } from "../../support/rawAnswers.ts"
import { type TcpProxy, tcpProxy } from "../../support/tcpProxy.ts"

/** The short limit of a test; the others leave time on a machine that does more. */
type Limits = NonNullable<SettingChanges["timeouts"]>

const limit = Duration.millis(300)

const forwarding = (hives: Readonly<Record<string, string>>, limits: Limits = {}) => {
  const timeouts = { connect: Duration.seconds(20), reconnect: Duration.millis(100), ...limits }
  return HiveForwarder.layer.pipe(
    Layer.provide([
      HiveDirectory.layerMemory(hives),
      Settings.layerDefaults({ timeouts, limits: { lineBytes: 2_000_000 } })
    ])
  )
}

const list = (hive: string) => new WorkerList({ hive_id: hive })

const forward = (url: string, limits?: Limits) =>
  HiveForwarder.use((forwarder) =>
    Effect.succeed(
      forwarder.forward(new WorkerSpawn({ hive_id: "xyz", model: "m", worker: "cpu", device: 0 }))
    )
  ).pipe(Stream.unwrap, Stream.provide(forwarding({ xyz: url }, limits)))

const failing = (url: string, limits?: Limits) => Effect.flip(Stream.runDrain(forward(url, limits)))

class Greet extends Schema.Class<Greet>("Greet")({
  operation: Schema.tag("greet"),
  hive_id: HiveId,
  since: Schema.DateFromString
}) {
  static readonly routing = hiveQuery
}

class Stranger extends Schema.Class<Stranger>("Stranger")({
  operation: Schema.tag("stranger"),
  hive_id: HiveId
}) {}

class Nowhere extends Schema.Class<Nowhere>("Nowhere")({ operation: Schema.tag("nowhere") }) {
  static readonly routing = queenQuery
}

const token = (id: number, text: string) =>
  `id: ${id}\nevent: token\ndata: {"text":${JSON.stringify(text)}}\n\n`
const done = (id: number) => `id: ${id}\nevent: done\ndata: {"queued_ms":0,"run_ms":5}\n\n`

describe("what comes back", () => {
  it.live("gives the hive's events in order, each once, without its end", () =>
    Effect.gen(function* () {
      const hive = yield* FakeHive.makeRaw(
        hiveWith(token(1, "a") + ": idle\n\n" + token(2, "b\u2028") + done(3))
      )
      const events = yield* Stream.runCollect(forward(hive.url))
      assert.deepStrictEqual(events, [
        new NarrationEvent({
          id: undefined,
          actor: "qn-fwd",
          action: "forward_start",
          message: "Forwarding worker_spawn operation to hive 'xyz'"
        }),
        new TokenEvent({ id: 1, text: "a" }),
        new TokenEvent({ id: 2, text: "b\u2028" })
      ])
    })
  )

  it.live("gives a request as text the events as the hive sent them", () =>
    Effect.gen(function* () {
      const odd = `id: 1\nevent: token\ndata: { "text" : "b\u2028" , "p": 0.10 }\n\n`
      const hive = yield* FakeHive.makeRaw(hiveWith(odd + done(2)))
      const request = { operation: "dance", hiveId: "xyz", json: "{}", routing: hiveAnswer }
      const events: Array<JobEvent> = []
      yield* HiveForwarder.use((forwarder) =>
        forwarder.forwardJson(request, (batch) => Effect.sync(() => void events.push(...batch)))
      ).pipe(Effect.provide(forwarding({ xyz: hive.url })))
      assert.deepStrictEqual(events.slice(1), [
        new JobEvent("token", `{ "text" : "b\u2028" , "p": 0.10 }`, 1)
      ])
    })
  )

  it.live("fails at an event with unexpected data, and cancels the hive's job", () =>
    Effect.gen(function* () {
      const hive = yield* FakeHive.makeRaw(
        hiveWith(token(1, "a") + `id: 2\nevent: token\ndata: {"txt":1}\n\n`)
      )
      const error = yield* failing(hive.url)
      assert.strictEqual(error._tag, "InvalidResponse")
      assert.strictEqual(error.message, "Hive sent an event 'token' with unexpected data (hive 'xyz')")
      assert.strictEqual(hive.requests.at(-1)?.method, "DELETE")
    })
  )

  it.live("encodes an operation of the application's own with its class, and runs it by its routing", () =>
    Effect.gen(function* () {
      let submitted = 0
      const hive = yield* FakeHive.makeRaw((request, response, body) => {
        // Only an operation that may be repeated is submitted again.
        if (request.method === "POST" && submitted++ === 0) return void request.socket.resetAndDestroy()
        hiveWith(token(1, "Hello") + done(2))(request, response, body)
      })
      const greet = new Greet({ hive_id: "xyz", since: new Date(0) })
      const events = yield* HiveForwarder.use((forwarder) =>
        Stream.runCollect(forwarder.forward(Greet, greet))
      ).pipe(Effect.provide(forwarding({ xyz: hive.url })))
      assert.deepStrictEqual(events.at(-1), new TokenEvent({ id: 1, text: "Hello" }))
      const body = `{"operation":"greet","hive_id":"xyz","since":"1970-01-01T00:00:00.000Z"}`
      assert.deepStrictEqual(
        hive.requests.filter(({ method }) => method === "POST").map(({ body }) => body),
        [body, body]
      )
    })
  )

  it.effect("takes no class without routing, no operation of another class, and none without a hive", () =>
    Effect.gen(function* () {
      const { forward } = yield* HiveForwarder
      const stranger = new Stranger({ hive_id: "xyz" })
      // @ts-expect-error The class has no routing.
      const withoutRouting = forward(Stranger, stranger)
      // @ts-expect-error It is not an operation of this class.
      const ofAnotherClass = forward(Greet, stranger)
      // @ts-expect-error The queen's operation names no hive.
      const withoutHive = forward(Nowhere, new Nowhere({}))
      // @ts-expect-error It needs its class.
      const withoutClass = forward(new Greet({ hive_id: "xyz", since: new Date(0) }))
      for (const refused of [withoutRouting, ofAnotherClass, withoutHive, withoutClass]) {
        assert.isTrue(Exit.isFailure(yield* Effect.exit(Stream.runDrain(refused))))
      }
    }).pipe(Effect.provide(forwarding({})))
  )

  it.live("sends the text as it came", () =>
    Effect.gen(function* () {
      const hive = yield* FakeHive.makeRaw(hiveWith(done(1)))
      const sent = `{ "operation":"dance", "hive_id":"xyz", "n":1.0, "extra":[1e3] }`
      const request = { operation: "dance", hiveId: "xyz", json: sent, routing: hiveAnswer }
      yield* HiveForwarder.use((forwarder) => forwarder.forwardJson(request, () => Effect.void)).pipe(
        Effect.provide(forwarding({ xyz: hive.url }))
      )
      assert.strictEqual(hive.requests[0]?.body, sent)
    })
  )

  it.live("falls back to the plain view of an older hive", () =>
    Effect.gen(function* () {
      const hive = yield* FakeHive.makeRaw((request, response) => {
        if (request.method === "POST") return json(response, { job_id: "job-7" })
        if (request.url?.endsWith("/stream") !== true) return json(response, {}, 404)
        eventStream(response).end("data: one\n\ndata: two [DONE] three\n\ndata: [DONE]\n\n")
      })
      const events = yield* Stream.runCollect(forward(hive.url))
      assert.deepStrictEqual(events.slice(1), [
        new LineEvent({ id: undefined, text: "one" }),
        new LineEvent({ id: undefined, text: "two [DONE] three" })
      ])
    })
  )

  it.live("uses a handful of connections for a hundred operations in a row", () =>
    Effect.gen(function* () {
      const hive = yield* FakeHive.makeRaw(hiveWith(done(1)))
      const all = HiveForwarder.use((forwarder) =>
        Effect.forEach(Array.from({ length: 100 }), () => Stream.runDrain(forwarder.forward(list("xyz"))))
      )
      yield* Effect.provide(all, forwarding({ xyz: hive.url }))
      assert.isAtMost(hive.connections(), 5)
      assert.strictEqual(hive.requests.length, 200)
    })
  )
})

describe("what the hive fails with", () => {
  it.live("comes through with its type", () =>
    Effect.gen(function* () {
      const failed = `event: failed\ndata: {"error":{"code":"ModelNotFound","message":"No such model","details":{"id":"x"}}}\n\n`
      const hive = yield* FakeHive.makeRaw(hiveWith(token(1, "a") + failed))
      const error = yield* failing(hive.url)
      assert.strictEqual(error._tag, "JobFailed")
      assert.deepStrictEqual("failure" in error ? error.failure : undefined, {
        code: "ModelNotFound",
        message: "No such model",
        details: { id: "x" }
      })
    })
  )

  it.live("is a cancel when it was one", () =>
    Effect.gen(function* () {
      const hive = yield* FakeHive.makeRaw(hiveWith("event: cancelled\ndata: {}\n\n"))
      assert.strictEqual((yield* failing(hive.url))._tag, "JobCancelled")
    })
  )
})

const sentence = (url: string, limits?: Limits) =>
  Effect.map(failing(url, limits), ({ _tag, message }) => `${_tag}: ${message}`)

describe("faults", () => {
  it.live("an unknown hive", () =>
    Effect.gen(function* () {
      const forwarder = HiveForwarder.use((forwarder) => Stream.runDrain(forwarder.forward(list("nowhere"))))
      const error = yield* Effect.flip(Effect.provide(forwarder, forwarding({ atlas: "http://127.0.0.1:1" })))
      assert.strictEqual(error.message, "Hive 'nowhere' not found in configuration; known hives: atlas")
    })
  )

  it.live("refused", () =>
    Effect.gen(function* () {
      const gone = yield* Effect.scoped(FakeHive.makeRaw(hiveWith("")))
      assert.strictEqual(
        yield* sentence(gone.url),
        "ConnectionFailed: Failed to connect to hive: connection refused (hive 'xyz')"
      )
    })
  )

  it.live("unresolved", () =>
    Effect.gen(function* () {
      assert.strictEqual(
        yield* sentence("http://no-such-host.invalid:8081"),
        "ConnectionFailed: Failed to connect to hive: the host name could not be resolved (hive 'xyz')"
      )
    })
  )

  it.live("reset before an answer", () =>
    Effect.gen(function* () {
      const hive = yield* fakeSocket((socket) => socket.once("data", () => socket.resetAndDestroy()))
      assert.strictEqual(
        yield* sentence(hive.url),
        "ConnectionFailed: Failed to connect to hive: connection reset (hive 'xyz')"
      )
    })
  )

  it.live("reset in the middle of the stream", () =>
    Effect.gen(function* () {
      const hive = yield* FakeHive.makeRaw(
        hiveWith((response) => {
          response.write(token(1, "a"), () => response.socket?.resetAndDestroy())
        })
      )
      const error = yield* failing(hive.url)
      assert.strictEqual(error._tag, "ConnectionFailed")
    })
  )

  it.live("reset in the middle of the stream, and silent afterwards", () =>
    Effect.gen(function* () {
      let streams = 0
      const hive = yield* FakeHive.makeRaw(
        hiveWith((response) => {
          if (streams++ === 0) response.write(token(1, "a"), () => response.socket?.resetAndDestroy())
        })
      )
      assert.strictEqual(
        yield* sentence(hive.url),
        "ConnectionFailed: Failed to connect to hive: connection reset (hive 'xyz')"
      )
    })
  )

  it.live("silent at the submit", () =>
    Effect.gen(function* () {
      const hive = yield* fakeSocket(() => {})
      assert.strictEqual(
        yield* sentence(hive.url, { submit: limit }),
        "HiveTimeout: Hive 'xyz' sent nothing for 0.3 s (timeouts.submit)"
      )
    })
  )

  it.live("silent before the first event", () =>
    Effect.gen(function* () {
      const comments = (response: http.ServerResponse) => {
        const timer = setInterval(() => response.write(": idle\n\n"), 50)
        response.on("close", () => clearInterval(timer))
      }
      const hive = yield* FakeHive.makeRaw(hiveWith(comments))
      assert.strictEqual(
        yield* sentence(hive.url, { firstEvent: limit }),
        "HiveTimeout: Hive 'xyz' sent nothing for 0.3 s (timeouts.first_event)"
      )
      yield* hive.seen("DELETE", "/v1/jobs/job-7")
    })
  )

  it.live("a stream that stops", () =>
    Effect.gen(function* () {
      const hive = yield* FakeHive.makeRaw(hiveWith((response) => void response.write(token(1, "a"))))
      assert.strictEqual(
        yield* sentence(hive.url, { idle: limit }),
        "HiveTimeout: Hive 'xyz' sent nothing for 0.3 s (timeouts.idle)"
      )
      yield* hive.seen("DELETE", "/v1/jobs/job-7")
    })
  )

  it.live("not HTTP", () =>
    Effect.gen(function* () {
      const hive = yield* fakeSocket((socket) => socket.end("220 mail.example ESMTP\r\n"))
      const said = yield* sentence(hive.url)
      assert.match(
        said,
        /^InvalidResponse: Hive sent an answer that is not HTTP \([A-Z]\w+\) \(hive 'xyz'\)$/
      )
    })
  )

  const answering = (status: number, body: string, type = "application/json") =>
    FakeHive.makeRaw(
      (_request, response) => void response.writeHead(status, { "content-type": type }).end(body)
    )

  it.live("not JSON", () =>
    Effect.gen(function* () {
      const hive = yield* answering(200, "<html>")
      assert.strictEqual(
        yield* sentence(hive.url),
        "InvalidResponse: Hive did not return job_id (hive 'xyz')"
      )
    })
  )

  it.live("no job_id, or one that is none", () =>
    Effect.gen(function* () {
      for (const body of ["{}", `{"job_id":5}`, `{"job_id":""}`, `{"job_id":"../x"}`, "null", ""]) {
        const hive = yield* answering(200, body)
        assert.strictEqual(
          yield* sentence(hive.url),
          "InvalidResponse: Hive did not return job_id (hive 'xyz')",
          body
        )
      }
    })
  )

  it.live("a status other than 200, with the hive's message", () =>
    Effect.gen(function* () {
      const hive = yield* answering(503, `{"error":{"code":"TooManyJobs","message":"9 jobs are waiting"}}`)
      const error = yield* failing(hive.url)
      assert.strictEqual(error.message, "Hive answered 503: 9 jobs are waiting (hive 'xyz')")
      assert.strictEqual("status" in error ? error.status : undefined, 503)
    })
  )

  it.live("no event stream", () =>
    Effect.gen(function* () {
      const hive = yield* FakeHive.makeRaw((request, response) =>
        request.method === "POST" ? json(response, { job_id: "job-7" }) : json(response, {})
      )
      assert.strictEqual(
        yield* sentence(hive.url),
        "InvalidResponse: Hive sent application/json instead of an event stream (hive 'xyz')"
      )
    })
  )

  it.live("a stream without an end, and garbage", () =>
    Effect.gen(function* () {
      for (const events of [token(1, "a"), "", "garbage\u0000\n\n", "data: x\n\n"]) {
        const hive = yield* FakeHive.makeRaw(hiveWith(events))
        assert.strictEqual(
          yield* sentence(hive.url),
          "InvalidResponse: Hive ended the stream without an end event (hive 'xyz')"
        )
      }
    })
  )

  it.live("a stream that ends again and again after an event without an id", () =>
    Effect.gen(function* () {
      const hive = yield* FakeHive.makeRaw(hiveWith(`event: token\ndata: {"text":"a"}\n\n`))
      assert.strictEqual(
        yield* sentence(hive.url),
        "InvalidResponse: Hive ended the stream without an end event (hive 'xyz')"
      )
      assert.isBelow(hive.requests.length, 8)
    })
  )

  it.live("a line beyond the limit", () =>
    Effect.gen(function* () {
      const hive = yield* FakeHive.makeRaw(hiveWith(`data: ${"x".repeat(3_000_000)}`))
      assert.include(yield* sentence(hive.url), "limits.line_bytes")
    })
  )
})

describe("leaving and repeating", () => {
  it.live("cancels the hive's job when the stream is left", () =>
    Effect.gen(function* () {
      const hive = yield* FakeHive.makeRaw(hiveWith((response) => void response.write(token(1, "a"))))
      yield* Stream.runDrain(Stream.take(forward(hive.url), 2))
      yield* hive.seen("DELETE", "/v1/jobs/job-7")
    })
  )

  it.live("cancels it when the fiber is interrupted", () =>
    Effect.gen(function* () {
      const hive = yield* FakeHive.makeRaw(hiveWith((response) => void response.write(token(1, "a"))))
      const fiber = yield* Effect.forkChild(Stream.runDrain(forward(hive.url)))
      yield* hive.seen("GET", "/v1/jobs/job-7/events")
      yield* Fiber.interrupt(fiber)
      assert.strictEqual(hive.requests.at(-1)?.method, "DELETE")
    })
  )

  it.live("cancels it when the hive tells its id after the fiber was interrupted", () =>
    Effect.gen(function* () {
      const held: Array<() => void> = []
      const hive = yield* FakeHive.makeRaw((request, response, body) => {
        const answer = () => hiveWith(done(1))(request, response, body)
        if (request.method === "POST") held.push(answer)
        else answer()
      })
      const fiber = yield* Effect.forkChild(Stream.runDrain(forward(hive.url)))
      yield* hive.seen("POST", "/v1/jobs")
      const leaving = yield* Effect.forkChild(Fiber.interrupt(fiber))
      yield* Effect.yieldNow
      for (const answer of held) answer()
      yield* Fiber.join(leaving)
      assert.deepStrictEqual(
        hive.requests.map(({ method }) => method),
        ["POST", "DELETE"]
      )
    })
  )

  const resetOnce = () => {
    let times = 0
    return FakeHive.makeRaw((request, response, body) => {
      if (request.method === "POST" && times++ === 0) return void request.socket.resetAndDestroy()
      hiveWith(done(1))(request, response, body)
    })
  }

  it.live("repeats a broken query before its first event", () =>
    Effect.gen(function* () {
      const hive = yield* resetOnce()
      const query = HiveForwarder.use((forwarder) => Stream.runDrain(forwarder.forward(list("xyz"))))
      yield* Effect.provide(query, forwarding({ xyz: hive.url }))
      assert.strictEqual(hive.requests.filter(({ method }) => method === "POST").length, 2)
    })
  )

  it.live("resumes a stream that broke before its first event, without a second job", () =>
    Effect.gen(function* () {
      let times = 0
      const slowly = (response: http.ServerResponse) => {
        if (times++ === 0) {
          response.flushHeaders()
          response.socket?.resetAndDestroy()
          return
        }
        response.write(token(1, "a"))
        const timer = setInterval(() => response.write(": idle\n\n"), 50)
        response.on("close", () => clearInterval(timer))
        setTimeout(() => response.end(done(2)), 1200)
      }
      const hive = yield* FakeHive.makeRaw(hiveWith(slowly))
      const remotes: Array<RemoteWork["hiveJob"]> = []
      const job: RunningJob = {
        id: "job-1",
        runsAt: ({ hiveJob }) =>
          Effect.sync(() => {
            remotes.push(hiveJob)
            return { isLeftRunning: () => false, unconfirmed: () => {} }
          }),
        readEvents: Effect.succeed([])
      }
      const kinds: Array<string> = []
      const note = (events: ReadonlyArray<JobEvent>) =>
        Effect.sync(() => void kinds.push(...events.map(({ kind }) => kind)))
      const { routing } = WorkerList
      const request = { operation: "worker_list", hiveId: "xyz", json: "{}", routing, job }
      yield* HiveForwarder.use((forwarder) => forwarder.forwardJson(request, note)).pipe(
        Effect.provide(
          forwarding({ xyz: hive.url }, { idle: Duration.seconds(1), reconnect: Duration.seconds(20) })
        )
      )
      assert.deepStrictEqual(kinds, ["narration", "token"])
      assert.deepStrictEqual(remotes, [{ hiveId: "xyz", jobId: "job-7" }])
      const methods = hive.requests.map(({ method }) => method)
      assert.deepStrictEqual(methods, ["POST", "GET", "GET"])
    })
  )

  it.live("repeats nothing that may not be repeated, and nothing after the first event", () =>
    Effect.gen(function* () {
      const once = yield* resetOnce()
      const infer = new Infer({ hive_id: "xyz", model: "m", prompt: "p", max_tokens: 1, temperature: 0 })
      const run = HiveForwarder.use((forwarder) => Stream.runDrain(forwarder.forward(infer)))
      assert.strictEqual(
        (yield* Effect.flip(Effect.provide(run, forwarding({ xyz: once.url }))))._tag,
        "ConnectionFailed"
      )

      const broken = yield* FakeHive.makeRaw(
        hiveWith((response) => {
          response.write(token(1, "a"), () => response.socket?.resetAndDestroy())
        })
      )
      const query = HiveForwarder.use((forwarder) => Stream.runDrain(forwarder.forward(list("xyz"))))
      yield* Effect.flip(Effect.provide(query, forwarding({ xyz: broken.url })))
      assert.strictEqual(broken.requests.filter(({ method }) => method === "POST").length, 1)
    })
  )

  const patient = Settings.layerDefaults({ timeouts: { silence: Duration.millis(400) } })
  const through = (url: string) =>
    HiveForwarder.layer.pipe(Layer.provide([HiveDirectory.layerMemory({ xyz: url }), patient]))
  const open = (response: http.ServerResponse) => void response.write(token(1, "a"))

  /** Runs an operation at a hive behind a proxy, and does something to it when the first token has come. */
  const meddling = (operation: Operation, meddle: (proxy: TcpProxy) => Effect.Effect<void>) =>
    Effect.gen(function* () {
      const hive = yield* FakeHive.makeRaw(hiveWith(open))
      const proxy = yield* tcpProxy(hive.url)
      const run = HiveForwarder.use((forwarder) =>
        Stream.runForEach(forwarder.forward(operation), ({ _tag }) =>
          _tag === "Token" ? meddle(proxy) : Effect.void
        )
      )
      const from = performance.now()
      const error = yield* Effect.flip(Effect.provide(run, through(proxy.url)))
      return { error, hive, millis: performance.now() - from }
    })

  it.live("takes a hive that refuses twice for gone when the work can be done elsewhere", () =>
    Effect.gen(function* () {
      const { error, millis } = yield* meddling(list("xyz"), ({ close }) => close)
      assert.strictEqual(error.message, "Failed to connect to hive: connection refused (hive 'xyz')")
      assert.isBelow(millis, 3_000)
    })
  )

  it.live("takes a hive that is silent for gone after some seconds when the work can be done elsewhere", () =>
    Effect.gen(function* () {
      const { error, hive, millis } = yield* meddling(list("xyz"), ({ freeze, freezeNew }) =>
        Effect.andThen(freeze, freezeNew(true))
      )
      assert.strictEqual(error.message, "Hive 'xyz' sent nothing for 0.4 s (timeouts.silence)")
      assert.isBelow(millis, 10_000)
      assert.deepStrictEqual(
        hive.requests.map(({ method }) => method),
        ["POST", "GET"]
      )
    })
  )

  it.live("fails when the hive has restarted and lost the job", () =>
    Effect.gen(function* () {
      let isRestarted = false
      const hive = yield* FakeHive.makeRaw((request, response, body) => {
        if (isRestarted) return json(response, { error: { code: "JobNotFound", message: "?" } }, 404)
        hiveWith((opened) => {
          isRestarted = true
          opened.write(token(1, "a"), () => opened.socket?.resetAndDestroy())
        })(request, response, body)
      })
      const infer = new Infer({ hive_id: "xyz", model: "m", prompt: "p", max_tokens: 1, temperature: 0 })
      const run = HiveForwarder.use((forwarder) => Stream.runDrain(forwarder.forward(infer)))
      const error = yield* Effect.flip(Effect.provide(run, through(hive.url)))
      assert.strictEqual(error.message, "Hive 'xyz' restarted and no longer has the job")
    })
  )

  it.live("cannot resume the plain view of an older hive, whose broken connection is an error", () =>
    Effect.gen(function* () {
      const hive = yield* FakeHive.makeRaw((request, response) => {
        if (request.method === "POST") return json(response, { job_id: "job-7" })
        if (request.url?.endsWith("/stream") !== true) return json(response, {}, 404)
        eventStream(response).write("data: one\n\n", () => response.socket?.resetAndDestroy())
      })
      assert.strictEqual(
        (yield* failing(hive.url)).message,
        "Failed to connect to hive: connection reset (hive 'xyz')"
      )
      assert.strictEqual(hive.requests.filter(({ path }) => path.endsWith("/stream")).length, 1)
    })
  )

  it.live("tells the hive which queen submits", () =>
    Effect.gen(function* () {
      const hive = yield* FakeHive.makeRaw((request, response, body) => {
        if (request.method === "POST")
          assert.match(String(request.headers["x-rbee-queen"]), /^queen-[0-9a-f-]{36}$/)
        hiveWith(done(1))(request, response, body)
      })
      yield* Stream.runDrain(forward(hive.url))
    })
  )
})
