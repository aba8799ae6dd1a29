import { assert, describe, it } from "@effect/vitest"
import { ConfigProvider, Deferred, Duration, Effect, Exit, Fiber, Layer, Logger, Scope, Stream } from "effect"
import { HttpClient } from "effect/http"
import { boundUrl } from "../../../src/daemon/DaemonAddress.ts"
import { CapabilitiesCache } from "../../../src/hives/CapabilitiesCache.ts"
import { JobsClient } from "../../../src/job/client/JobsClient.ts"
import { JobFailed } from "../../../src/job/errors.ts"
import { handle } from "../../../src/job/Handlers.ts"
import { type JobEvent, JobEvent as Event } from "../../../src/job/log/JobEvent.ts"
import { HiveList } from "../../../src/operation/hiveOperations.ts"
import { Queen } from "../../../src/queen/Queen.ts"
import { Settings } from "../../../src/settings/Settings.ts"
import { FakeHive } from "../../../src/testing/FakeHive.ts"
import { Client, failureOf, hiveLayer, narrationOf, resultOf, temporaryHome } from "../../support/hive.ts"
import { freePort } from "../../support/ports.ts"
import { QueenClient, queenLayer, withQueen } from "../../support/queen.ts"
import { eventStream, hiveWith, json } from "../../support/rawAnswers.ts"
import { until } from "../../support/until.ts"

const spawn = { operation: "worker_spawn", hive_id: "atlas", model: "rbee:tiny", worker: "cpu", device: 0 }
const infer = {
  operation: "infer",
  hive_id: "atlas",
  model: "rbee:tiny",
  prompt: "The sea",
  max_tokens: 4,
  temperature: 0
}
const list = { operation: "worker_list", hive_id: "atlas" }

const frame = (id: number, kind: string, data: unknown) =>
  `id: ${id}\nevent: ${kind}\ndata: ${JSON.stringify(data)}\n\n`
const done = (id: number) => frame(id, "done", { queued_ms: 0, run_ms: 5 })
const token = (id: number, text: string) => frame(id, "token", { text })

const kindsOf = (events: ReadonlyArray<JobEvent>) => events.map(({ kind }) => kind).join(" ")

const oneWorker = () =>
  Stream.make(Event.narration("hv-worker", "worker_spawn", "Starting"), Event.result({ id: "tiny-1" }))

describe("forwarding through the queen", () => {
  it.live("forwards worker_spawn to localhost and streams the answer back", () =>
    Effect.gen(function* () {
      const hive = yield* FakeHive.makeRaw(
        hiveWith(
          frame(1, "narration", { actor: "hv-worker", action: "worker_spawn", message: "Starting" }) +
            frame(2, "result", { id: "tiny-1", state: "ready" }) +
            done(3)
        )
      )
      yield* Effect.gen(function* () {
        const { ask, submit } = yield* QueenClient
        const id = yield* submit({ ...spawn, hive_id: "localhost" })
        const { status, text } = yield* ask("GET", `/v1/jobs/${id}/stream`)
        assert.strictEqual(status, 200)
        assert.include(text, "data: [qn-router ] route_job      : Executing operation: worker_spawn\n\n")
        assert.include(text, "Forwarding worker_spawn operation to hive 'localhost'\n\n")
        assert.include(text, "data: [hv-worker ] worker_spawn   : Starting\n\n")
        assert.include(text, "tiny-1")
        assert.isTrue(text.endsWith("data: [DONE]\n\n"))
        assert.lengthOf(text.split("[DONE]"), 2)
        const record = JSON.parse((yield* ask("GET", `/v1/jobs/${id}`)).text)
        assert.deepInclude(record, { hive_id: "localhost", hive_job_id: "job-7", state: "completed" })
        // Nothing names this hive: it is on this machine, at the port that hives have here.
      }).pipe((test) => withQueen(test, { settings: { hive: { port: hive.port } } }))
    })
  )

  it.live("uses the queen's own HTTP client, also if its process has made others", () =>
    Effect.gen(function* () {
      const hive = yield* FakeHive.makeRaw(hiveWith(frame(1, "result", { id: "tiny-1" }) + done(2)))
      const home = yield* temporaryHome
      const port = yield* freePort
      const deaf = HttpClient.make(() => Effect.die("a client of somebody else"))
      const othersClient = JobsClient.layerNoDeps.pipe(
        Layer.provideMerge(Layer.succeed(HttpClient.HttpClient, deaf)),
        Layer.provide(Settings.layerDefaults())
      )
      const overrides = { "queen.port": String(port), "hive.port": String(hive.port) }
      yield* Effect.gen(function* () {
        yield* JobsClient
        const queen = Queen.layerWith(overrides)
        // Two that need it share it.
        yield* Layer.build(Layer.merge(Layer.provide(Layer.effectDiscard(boundUrl), queen), queen))
        const answer = yield* Effect.promise(() =>
          fetch(`http://127.0.0.1:${port}/v1/jobs`, {
            method: "POST",
            headers: { accept: "text/event-stream" },
            body: JSON.stringify({ ...list, hive_id: "localhost" })
          })
        )
        assert.include(yield* Effect.promise(() => answer.text()), `"id":"tiny-1"`)
      }).pipe(
        Effect.provide(othersClient),
        Effect.provideService(ConfigProvider.ConfigProvider, ConfigProvider.fromUnknown({ RBEE_HOME: home }))
      )
    })
  )

  it.live("returns an error for a missing hive", () =>
    withQueen(
      Effect.gen(function* () {
        const { ask, follow, submit } = yield* QueenClient
        const id = yield* submit({ ...spawn, hive_id: "xyz" })
        const { text } = yield* ask("GET", `/v1/jobs/${id}/stream`)
        const sentence = "Hive 'xyz' not found in configuration; known hives: localhost"
        assert.isTrue(text.endsWith(`data: [ERROR] ${sentence}\n\n`), text)
        assert.notInclude(text, "[DONE]")
        const { code, message } = failureOf(yield* Stream.runCollect(follow(id)))
        assert.deepStrictEqual([code, message], ["HiveNotFound", sentence])
      })
    )
  )

  it.live("writes the hive's events into the queen's stream", () =>
    Effect.gen(function* () {
      const go = yield* Deferred.make<void>()
      const hive = yield* FakeHive.make(() =>
        Stream.concat(
          Stream.make(Event.token("one"), Event.progress({ stage: "load", current: 1, unit: "MB" })),
          Stream.concat(
            Stream.fromEffectDrain(Deferred.await(go)),
            Stream.make(Event.line("two"), Event.result({ workers: [] }))
          )
        )
      )
      yield* Effect.gen(function* () {
        const { follow, submit } = yield* QueenClient
        const events = yield* Stream.runCollect(
          // The second half comes only when the first was seen: nothing is held back until the end.
          follow(yield* submit(spawn)).pipe(
            Stream.tap(({ kind }) => (kind === "progress" ? Deferred.succeed(go, undefined) : Effect.void))
          )
        )
        assert.strictEqual(kindsOf(events), "narration narration narration token progress line result done")
        assert.strictEqual(resultOf(events), `{"workers":[]}`)
      }).pipe((test) => withQueen(test, { hives: { atlas: hive.url } }))
    })
  )

  it.live("writes a forwarded job's plain view byte for byte", () =>
    Effect.gen(function* () {
      const hive = yield* FakeHive.makeRaw(
        hiveWith(
          frame(1, "narration", { actor: "abc", action: "xyz", message: "Short" }) +
            token(2, "né\nw") +
            token(3, "[DONE]") +
            done(4)
        )
      )
      yield* Effect.gen(function* () {
        const { ask, submit } = yield* QueenClient
        const { text } = yield* ask("GET", `/v1/jobs/${yield* submit(list)}/stream`)
        assert.strictEqual(
          text,
          "data: [qn-router ] route_job      : Executing operation: worker_list\n\n" +
            "data: [qn-fwd    ] forward_start  : Forwarding worker_list operation to hive 'atlas'\n\n" +
            "data: [abc       ] xyz            : Short\n\n" +
            "data: né\ndata: w\n\n" +
            "data:  [DONE]\n\n" +
            "data: [DONE]\n\n"
        )
      }).pipe((test) => withQueen(test, { hives: { atlas: hive.url } }))
    })
  )

  it.live("numbers events as the hive does, plus a constant, and resumes after every event", () =>
    Effect.gen(function* () {
      // The hive leaves out numbers, as it does when its log has dropped narration.
      const hive = yield* FakeHive.makeRaw(hiveWith(token(1, "a") + token(2, "b") + token(5, "c") + done(6)))
      yield* Effect.gen(function* () {
        const { ask, submit } = yield* QueenClient
        const path = `/v1/jobs/${yield* submit(list)}/events`
        const whole = (yield* ask("GET", path)).text
        const frames = whole.split(/(?<=\n\n)/)
        const ids = frames.map((text) => Number(/^id: (\d+)/.exec(text)?.[1]))
        assert.deepStrictEqual(ids, [1, 2, 3, 4, 7, 8])
        for (let after = 0; after <= 8; after++) {
          const rest = frames.filter((_, index) => (ids[index] ?? 0) > after).join("")
          const byQuery = yield* ask("GET", `${path}?after=${after}`)
          const byHeader = yield* ask("GET", path, undefined, { "last-event-id": String(after) })
          assert.strictEqual(byQuery.text, rest, `after=${after}`)
          assert.strictEqual(byHeader.text, rest, `Last-Event-ID: ${after}`)
        }
      }).pipe((test) => withQueen(test, { hives: { atlas: hive.url } }))
    })
  )

  it.live("sends the JSON unchanged", () =>
    Effect.gen(function* () {
      const hive = yield* FakeHive.make(oneWorker)
      yield* Effect.gen(function* () {
        const { run } = yield* QueenClient
        const known = `{ "hive_id":"atlas", "operation":"worker_list", "n":1.0, "extra":[1e3, "\\u00e9"] }`
        const unknown = `{"operation":"dance","hive_id":"atlas","big":12345678901234567890}`
        yield* run(known)
        assert.include(narrationOf(yield* run(unknown)), "Forwarding dance operation to hive 'atlas'")
        assert.deepStrictEqual(yield* hive.received, [known, unknown])
      }).pipe((test) => withQueen(test, { hives: { atlas: hive.url } }))
    })
  )

  it.live("rejects an unknown operation without a hive", () =>
    withQueen(
      Effect.gen(function* () {
        const { ask } = yield* QueenClient
        const { status, text } = yield* ask("POST", "/v1/jobs", `{"operation":"dance"}`)
        assert.strictEqual(status, 400)
        const { error } = JSON.parse(text)
        assert.strictEqual(error.code, "UnknownOperation")
        for (const name of ["dance", "worker_spawn", "hive_list", "infer"])
          assert.include(error.message, name)
        assert.deepStrictEqual(JSON.parse((yield* ask("GET", "/v1/jobs")).text), { jobs: [] })
      })
    )
  )

  it.live("reads a hive's job once for two followers, which see the same events", () =>
    Effect.gen(function* () {
      let end = () => {}
      const hive = yield* FakeHive.makeRaw(
        hiveWith((response) => {
          response.write(token(1, "a"))
          end = () => response.end(done(2))
        })
      )
      yield* Effect.gen(function* () {
        const { follow, submit } = yield* QueenClient
        const id = yield* submit(spawn)
        const first = yield* Stream.runCollect(follow(id)).pipe(Effect.forkChild)
        const second = yield* Stream.runCollect(
          Stream.tap(follow(id), ({ kind }) => (kind === "token" ? Effect.sync(end) : Effect.void))
        )
        assert.deepStrictEqual(second, yield* Fiber.join(first))
        assert.strictEqual(kindsOf(second), "narration narration token done")
        const reads = hive.requests.filter(
          ({ method, path }) => method === "GET" && path.startsWith("/v1/jobs")
        )
        assert.deepStrictEqual(
          reads.map(({ path }) => path),
          ["/v1/jobs/job-7/events?after=0"]
        )
      }).pipe((test) => withQueen(test, { hives: { atlas: hive.url } }))
    })
  )
})

describe("a forwarded job", () => {
  it.live("fails with the hive's code, message and details", () =>
    Effect.gen(function* () {
      const failure = { code: "DoesNotFit", message: "8 GB needed", details: { needed: 8 } }
      const hive = yield* FakeHive.make(() =>
        Stream.concat(
          Stream.make(Event.token("half")),
          Stream.fail(
            new JobFailed({ code: failure.code, sentence: failure.message, details: failure.details })
          )
        )
      )
      yield* Effect.gen(function* () {
        const { ask, follow, submit } = yield* QueenClient
        const id = yield* submit(spawn)
        const events = yield* Stream.runCollect(follow(id))
        assert.strictEqual(kindsOf(events), "narration narration narration token failed")
        assert.deepStrictEqual(failureOf(events), failure)
        const record = JSON.parse((yield* ask("GET", `/v1/jobs/${id}`)).text)
        assert.deepInclude(record, { state: "failed", error: failure })
        assert.isTrue(
          (yield* ask("GET", `/v1/jobs/${id}/stream`)).text.endsWith("data: [ERROR] 8 GB needed\n\n")
        )
      }).pipe((test) => withQueen(test, { hives: { atlas: hive.url } }))
    })
  )

  it.live("is cancelled if the hive's job was cancelled there", () =>
    Effect.gen(function* () {
      const hive = yield* FakeHive.makeRaw(hiveWith(token(1, "a") + frame(2, "cancelled", {})))
      yield* Effect.gen(function* () {
        const { ask, follow, submit } = yield* QueenClient
        const id = yield* submit(spawn)
        assert.strictEqual(
          kindsOf(yield* Stream.runCollect(follow(id))),
          "narration narration token cancelled"
        )
        assert.strictEqual(JSON.parse((yield* ask("GET", `/v1/jobs/${id}`)).text).state, "cancelled")
        assert.strictEqual((yield* ask("DELETE", `/v1/jobs/${id}`)).status, 409)
      }).pipe((test) => withQueen(test, { hives: { atlas: hive.url } }))
    })
  )

  it.live("ends the hive's job on DELETE, after all events that the hive had emitted", () =>
    Effect.gen(function* () {
      let stream: Parameters<typeof eventStream>[0] | undefined
      const hive = yield* FakeHive.makeRaw((request, response) => {
        if (request.method === "POST") return json(response, { job_id: "job-7" })
        if (request.method === "GET") {
          stream = eventStream(response)
          return stream.write(token(1, "a"))
        }
        stream?.end(token(2, "last words") + frame(3, "cancelled", {}))
        json(response, { job_id: "job-7", status: "cancelled" })
      })
      yield* Effect.gen(function* () {
        const { ask, follow, submit } = yield* QueenClient
        const id = yield* submit(spawn)
        const started = yield* Deferred.make<void>()
        const following = yield* Stream.runCollect(
          Stream.tap(follow(id), ({ kind }) =>
            kind === "token" ? Deferred.succeed(started, undefined) : Effect.void
          )
        ).pipe(Effect.forkChild)
        yield* Deferred.await(started)
        assert.deepStrictEqual(yield* ask("DELETE", `/v1/jobs/${id}`), {
          status: 200,
          text: `{"job_id":"${id}","status":"cancelled"}`
        })
        const events = yield* Fiber.join(following)
        assert.strictEqual(kindsOf(events), "narration narration token token cancelled")
        assert.include(events[3]?.json, "last words")
        assert.lengthOf(
          hive.requests.filter(({ method, path }) => method === "DELETE" && path === "/v1/jobs/job-7"),
          1
        )
      }).pipe((test) => withQueen(test, { hives: { atlas: hive.url } }))
    })
  )

  it.live(
    "ends an infer at the hive after its last client has disconnected and the grace period is over",
    () =>
      Effect.gen(function* () {
        const hive = yield* FakeHive.make(() => Stream.concat(Stream.make(Event.token("a")), Stream.never))
        yield* Effect.gen(function* () {
          const { ask, follow, submit } = yield* QueenClient
          const id = yield* submit(infer)
          yield* Stream.runDrain(Stream.takeUntil(follow(id), ({ kind }) => kind === "token"))
          const record = Effect.map(ask("GET", `/v1/jobs/${id}`), ({ text }) => JSON.parse(text))
          const { hive_job_id } = yield* until(record, ({ state }) => state === "cancelled")
          const http = yield* HttpClient.HttpClient
          const atHive = yield* Effect.flatMap(
            http.get(`${hive.url}/v1/jobs/${hive_job_id}`),
            ({ text }) => text
          )
          assert.strictEqual(JSON.parse(atHive).state, "cancelled")
          assert.strictEqual((yield* Stream.runCollect(follow(id))).at(-1)?.kind, "cancelled")
        }).pipe((test) =>
          withQueen(test, {
            hives: { atlas: hive.url },
            settings: { limits: { graceAfterLastFollower: Duration.millis(50) } }
          })
        )
      })
  )

  it.live("ends the hive's job if the hive is silent for too long", () =>
    Effect.gen(function* () {
      const hive = yield* FakeHive.makeRaw(hiveWith((response) => response.write(token(1, "a"))))
      yield* Effect.gen(function* () {
        const { run } = yield* QueenClient
        const events = yield* run(spawn)
        assert.strictEqual(kindsOf(events), "narration narration token failed")
        assert.strictEqual(failureOf(events).code, "HiveTimeout")
        assert.include(failureOf(events).message, "Hive 'atlas' sent nothing for 0.2 s (timeouts.idle)")
        yield* hive.seen("DELETE", "/v1/jobs/job-7").pipe(Effect.timeout("5 seconds"))
      }).pipe((test) =>
        withQueen(test, {
          hives: { atlas: hive.url },
          settings: { timeouts: { idle: Duration.millis(200) } }
        })
      )
    })
  )
})

const beat = (hive_id: string, url: string, workers: ReadonlyArray<object> = []) =>
  JSON.stringify({ hive_id, timestamp: "2026-01-01T00:00:00Z", url, workers })

const worker = (model_id: string) => ({
  worker_id: `w-${model_id.length}`,
  state: "ready",
  last_heartbeat: "2026-01-01T00:00:00Z",
  health_status: "healthy",
  url: "http://127.0.0.1:1",
  model_id
})

describe("heartbeats", () => {
  it.live("make a hive known that is not in hives.conf", () =>
    Effect.gen(function* () {
      const hive = yield* FakeHive.make(oneWorker, "atlas")
      yield* Effect.gen(function* () {
        const { ask, run } = yield* QueenClient
        assert.strictEqual(failureOf(yield* run(spawn)).code, "HiveNotFound")
        const silent = { worker_id: "w", state: "ready", health_status: null, url: null, model_id: null }
        assert.deepStrictEqual(yield* ask("POST", "/v1/heartbeat", beat("atlas", hive.url, [silent])), {
          status: 200,
          text: `{"status":"ok","message":"Heartbeat received from atlas"}`
        })
        assert.strictEqual(resultOf(yield* run(spawn)), `{"id":"tiny-1"}`)
      }).pipe((test) => withQueen(test))
    })
  )

  it.live("do not override hives.conf", () =>
    Effect.gen(function* () {
      const meant = yield* FakeHive.make(oneWorker)
      const other = yield* FakeHive.make(oneWorker)
      yield* Effect.gen(function* () {
        const { ask, run } = yield* QueenClient
        yield* ask("POST", "/v1/heartbeat", beat("atlas", other.url))
        yield* run(list)
        assert.deepStrictEqual(yield* other.received, [])
        assert.lengthOf(yield* meant.received, 1)
      }).pipe((test) => withQueen(test, { hives: { atlas: meant.url } }))
    })
  )

  it.live("let `auto` find the hive that has the model loaded", () =>
    Effect.gen(function* () {
      const atlas = yield* FakeHive.make(oneWorker, "atlas")
      const boreas = yield* FakeHive.make(oneWorker, "boreas")
      yield* Effect.gen(function* () {
        const { ask, run } = yield* QueenClient
        yield* ask("POST", "/v1/heartbeat", beat("atlas", atlas.url, [worker("other")]))
        yield* ask("POST", "/v1/heartbeat", beat("boreas", boreas.url, [worker("rbee:tiny")]))
        const events = yield* run({ ...infer, hive_id: "auto", extra: 1 })
        assert.include(narrationOf(events), "Chose hive 'boreas'")
        assert.strictEqual(events.at(-1)?.kind, "done")
        assert.deepStrictEqual(yield* atlas.received, [])
        assert.deepStrictEqual(JSON.parse((yield* boreas.received)[0] ?? ""), {
          ...infer,
          hive_id: "boreas",
          extra: 1
        })
        yield* run({ ...infer, hive_id: "auto", model: "other" })
        assert.lengthOf(yield* atlas.received, 1)
      }).pipe((test) => withQueen(test))
    })
  )

  it.live(
    "have `auto` try another hive if a connection is refused, and mark the first unreachable at once",
    () =>
      Effect.gen(function* () {
        for (const operation of [infer, spawn, { operation: "model_download", model: "rbee:tiny" }]) {
          const boreas = yield* FakeHive.make(oneWorker, "boreas")
          const life = yield* Scope.make()
          const gone = yield* Scope.provide(FakeHive.make(oneWorker, "atlas"), life)
          yield* Effect.gen(function* () {
            const { ask, run } = yield* QueenClient
            yield* ask("POST", "/v1/heartbeat", beat("boreas", boreas.url, [worker("other")]))
            // After the other one, so that nothing has found out that it is gone.
            yield* ask("POST", "/v1/heartbeat", beat("atlas", gone.url, [worker("rbee:tiny")]))
            yield* Scope.close(life, Exit.void)
            const events = yield* run({ ...operation, hive_id: "auto" })
            assert.strictEqual(events.at(-1)?.kind, "done")
            assert.include(narrationOf(events), "Chose hive 'boreas'")
            assert.lengthOf(yield* boreas.received, 1)
            const { hives } = JSON.parse(resultOf(yield* run({ operation: "hive_list" })))
            const atlas = hives.find(({ alias }: { alias: string }) => alias === "atlas")
            assert.deepInclude(atlas, { state: "unreachable", reason: "connection refused" })
            assert.notProperty(atlas, "workers")
          }).pipe((test) => withQueen(test))
        }
      })
  )

  it.live("have `auto` fail if no hive answers or none has the model", () =>
    withQueen(
      Effect.gen(function* () {
        const { run } = yield* QueenClient
        const codeOf = (operation: object) =>
          Effect.map(run({ ...operation, hive_id: "auto" }), (events) => failureOf(events).code)
        assert.strictEqual(yield* codeOf(infer), "ModelUnknown")
        assert.strictEqual(yield* codeOf(spawn), "ModelUnknown")
        assert.strictEqual(yield* codeOf({ operation: "model_download", model: "x" }), "NoHiveAnswers")
      }),
      { settings: { hive: { port: 9 } } }
    )
  )

  it.live("do not make `auto` valid for operations of one hive", () =>
    withQueen(
      Effect.gen(function* () {
        const { ask } = yield* QueenClient
        for (const operation of ["worker_list", "worker_get", "worker_logs", "model_delete", "brand_new"]) {
          const body = JSON.stringify({ operation, hive_id: "auto", id: "w-1" })
          const { status, text } = yield* ask("POST", "/v1/jobs", body)
          assert.strictEqual(status, 400, operation)
          const { error } = JSON.parse(text)
          assert.deepInclude(error, { code: "InvalidOperation" })
          assert.strictEqual(error.details[0].field, "hive_id")
        }
      })
    )
  )

  it.live("do not change a request, except for the model of an alias", () =>
    Effect.gen(function* () {
      const atlas = yield* FakeHive.make(oneWorker, "atlas")
      yield* Effect.gen(function* () {
        const { ask, run } = yield* QueenClient
        yield* ask("POST", "/v1/heartbeat", beat("atlas", atlas.url, [worker("rbee:tiny")]))
        for (const operation of [infer, spawn]) {
          for (const hive_id of operation === infer ? ["atlas", "auto"] : ["atlas"]) {
            yield* run({ ...operation, hive_id, model: "short", extra: [1] })
            assert.deepStrictEqual(JSON.parse((yield* atlas.received).at(-1) ?? ""), {
              ...operation,
              hive_id: "atlas",
              model: "rbee:tiny",
              extra: [1]
            })
          }
        }
        yield* run({ ...infer, model: "constructor" })
        assert.include((yield* atlas.received).at(-1), `"constructor"`)
      }).pipe((test) => withQueen(test, { settings: { aliases: { short: { model: "rbee:tiny" } } } }))
    })
  )

  it.live("get 400 if they are invalid", () =>
    withQueen(
      Effect.gen(function* () {
        const { ask, run } = yield* QueenClient
        const bad = [
          "",
          "no JSON",
          "[]",
          "{}",
          beat("../etc", "http://127.0.0.1:8081"),
          beat("atlas", "file:///etc/passwd"),
          beat("atlas", "http://127.0.0.1:8081/v1?a=b"),
          `{"hive_id":"atlas","workers":7}`,
          `{"hive_id":"atlas","workers":[{"worker_id":"a b","state":"ready"}]}`
        ]
        for (const body of bad) {
          const { status, text } = yield* ask("POST", "/v1/heartbeat", body)
          assert.strictEqual(status, 400, `${body} gave ${text}`)
          const { error } = JSON.parse(text)
          assert.isString(error.code)
          assert.isString(error.message)
        }
        for (const path of ["/v1/heartbeat", "/v1/jobs"]) {
          const { status, text } = yield* ask("POST", path, `{"hive_id":"atlas",}`)
          assert.strictEqual(status, 400, path)
          const reason = `invalid JSON: unexpected "}" at position 19 (line 1, column 20)`
          assert.include(JSON.parse(text).error.message, reason, path)
        }
        const { hives } = JSON.parse(resultOf(yield* run({ operation: "hive_list" })))
        assert.lengthOf(hives, 1)
      })
    )
  )
})

describe("the queen's own operations", () => {
  it.live("list the known hives", () =>
    Effect.gen(function* () {
      const atlas = yield* FakeHive.make(oneWorker, "atlas")
      yield* Effect.gen(function* () {
        const { ask, run } = yield* QueenClient
        yield* ask("POST", "/v1/heartbeat", beat("atlas", atlas.url, [worker("rbee:tiny")]))
        const answer = (operation: object) =>
          Effect.map(run(operation), (events) => JSON.parse(resultOf(events)))

        const { hives } = yield* answer({ operation: "hive_list" })
        assert.deepStrictEqual(
          hives.map(({ alias, source, state, workers }: Record<string, unknown>) => [
            alias,
            source,
            state,
            workers
          ]),
          [
            ["localhost", "default", "unknown", undefined],
            ["atlas", "heartbeat", "active", 1]
          ]
        )
        const { last_heartbeat, ...record } = yield* answer({ operation: "hive_get", alias: "atlas" })
        assert.match(last_heartbeat, /^\d{4}-\d\d-\d\dT/)
        assert.deepStrictEqual(record, {
          alias: "atlas",
          url: atlas.url,
          state: "active",
          source: "heartbeat",
          workers: 1
        })
        assert.isTrue((yield* answer({ operation: "hive_status", alias: "atlas" })).online)
        assert.isFalse((yield* answer({ operation: "hive_status", alias: "localhost" })).online)
        assert.isFalse((yield* answer({ operation: "hive_status" })).online)
        assert.strictEqual(
          failureOf(yield* run({ operation: "hive_get", alias: "xyz" })).code,
          "HiveNotFound"
        )

        const status = yield* answer({ operation: "status" })
        assert.deepStrictEqual(Object.keys(status), ["hives", "devices", "workers", "models", "jobs"])
        assert.deepInclude(status.workers[0], { hive: "atlas", model_id: "rbee:tiny", state: "ready" })
      }).pipe((test) => withQueen(test, { settings: { hive: { port: 9 } } }))
    })
  )

  it.live("report an unknown machine before they connect to it", () =>
    withQueen(
      Effect.gen(function* () {
        const { run } = yield* QueenClient
        for (const operation of ["hive_install", "hive_uninstall", "ssh_test"]) {
          const { code, message } = failureOf(yield* run({ operation, alias: "atlas" }))
          assert.strictEqual(code, "HiveNotConfigured")
          assert.include(message, "Hive 'atlas' is not in hives.conf (it has boreas)")
        }
        const unknown = failureOf(yield* run({ operation: "hive_refresh_capabilities", alias: "atlas" }))
        assert.strictEqual(unknown.code, "HiveNotFound")
      }),
      { hives: { boreas: "http://127.0.0.1:9" } }
    )
  )

  it.live("ask a hive for its devices, cache them, and explain a missing answer", () =>
    Effect.gen(function* () {
      const devices = [{ id: "CPU-0", name: "CPU", device_type: "cpu", vram_gb: 4, compute_capability: null }]
      const atlas = yield* FakeHive.makeRaw((request, response) =>
        request.url === "/v1/capabilities"
          ? void response.end(JSON.stringify({ devices }))
          : void response.writeHead(404).end()
      )
      const boreas = yield* FakeHive.makeRaw((_request, response) => void response.end("<html>"))
      yield* Effect.gen(function* () {
        const { run } = yield* QueenClient
        const ask = (alias: string) => run({ operation: "hive_refresh_capabilities", alias })
        assert.deepStrictEqual(JSON.parse(resultOf(yield* ask("atlas"))), { alias: "atlas", devices })
        const cache = yield* CapabilitiesCache
        assert.deepStrictEqual(Object.keys(yield* cache.all), ["atlas"])
        assert.strictEqual(failureOf(yield* ask("boreas")).code, "InvalidResponse")
        assert.strictEqual(failureOf(yield* ask("castor")).code, "ConnectionFailed")
      }).pipe((test) =>
        withQueen(test, { hives: { atlas: atlas.url, boreas: boreas.url, castor: "http://127.0.0.1:9" } })
      )
    })
  )
})

describe("hive health", () => {
  const beatOf = (id: string) => JSON.stringify({ hive_id: id, timestamp: "", workers: [] })
  const stateOf = (alias: string) =>
    Effect.gen(function* () {
      const { run } = yield* QueenClient
      const { hives } = JSON.parse(resultOf(yield* run({ operation: "hive_list" })))
      return hives.find((hive: { alias: string }) => hive.alias === alias)
    })
  const quick = { heartbeat: { every: Duration.millis(100), active: Duration.millis(400) } }

  it.live("probes a hive that sends no heartbeats, and reports why one is unreachable", () =>
    Effect.gen(function* () {
      let isUp = true
      const atlas = yield* FakeHive.makeRaw((request, response) =>
        isUp && request.url === "/v1/heartbeat"
          ? void response.end(beatOf("other-name"))
          : void request.socket.destroy()
      )
      yield* Effect.gen(function* () {
        yield* until(stateOf("atlas"), ({ state }) => state === "active")
        isUp = false
        const gone = yield* until(stateOf("atlas"), ({ state }) => state === "unreachable")
        assert.include(gone.reason, "connection reset")
        isUp = true
        const back = yield* until(stateOf("atlas"), ({ state }) => state === "active")
        assert.notProperty(back, "reason")
      }).pipe((test) => withQueen(test, { hives: { atlas: atlas.url }, settings: quick }))
    })
  )

  it.live("suspects the queen's own network if most hives become unreachable at once", () =>
    Effect.gen(function* () {
      let isUp = true
      const doubts: Array<string> = []
      const logger = Logger.make(({ message }) => {
        const text = JSON.stringify(message)
        if (text.includes("most hives became unreachable at once")) doubts.push(text)
      })
      const hive = yield* FakeHive.makeRaw((request, response) =>
        isUp ? void response.end(beatOf("x")) : void request.socket.destroy()
      )
      const hives = { atlas: hive.url, boreas: hive.url, castor: hive.url, never: "http://127.0.0.1:9" }
      yield* Effect.gen(function* () {
        for (const alias of ["atlas", "boreas", "castor"]) {
          yield* until(stateOf(alias), ({ state }) => state === "active")
        }
        isUp = false
        yield* until(stateOf("never"), ({ state }) => state === "unreachable")
        for (const alias of ["atlas", "boreas", "castor"]) {
          yield* until(stateOf(alias), ({ state }) => state === "stale")
        }
        // Each of them has been asked twice more.
        const asked = hive.requests.length
        yield* until(
          Effect.sync(() => hive.requests.length),
          (now) => now >= asked + 6
        )
        assert.strictEqual((yield* stateOf("atlas")).state, "stale")
        assert.lengthOf(doubts, 1)
      }).pipe((test) => withQueen(test, { hives, settings: quick }), Effect.provide(Logger.layer([logger])))
    })
  )
})

const answering = (text: string) => handle(HiveList, () => Stream.make(Event.result(text)))

describe("daemons in one process", () => {
  it.live("have handlers and jobs of their own: two queens", () =>
    Effect.gen(function* () {
      const start = (text: string) =>
        Effect.flatMap(temporaryHome, (home) =>
          Layer.build(
            answering(text).pipe(
              Layer.provideMerge(QueenClient.layer),
              Layer.provideMerge(queenLayer({ home }))
            )
          )
        )
      const queens = { first: yield* start("first"), second: yield* start("second") }
      for (const [text, context] of Object.entries(queens)) {
        yield* Effect.gen(function* () {
          const { ask, run } = yield* QueenClient
          assert.strictEqual(resultOf(yield* run({ operation: "hive_list" })), JSON.stringify(text))
          assert.lengthOf(JSON.parse((yield* ask("GET", "/v1/jobs")).text).jobs, 1)
        }).pipe(Effect.provideContext(context))
      }
    })
  )

  it.live("have routes, handlers and jobs of their own: a hive and a queen in the same layers", () =>
    Effect.gen(function* () {
      const home = yield* temporaryHome
      const hive = Layer.unwrap(
        Effect.map(boundUrl, (queenUrl) => hiveLayer({ home, id: "atlas", queenUrl }))
      )
      const both = Layer.effect(
        Client,
        Effect.flatMap(boundUrl, (url) => Client.make(url))
      ).pipe(
        Layer.provide(hive),
        Layer.provideMerge(QueenClient.layer.pipe(Layer.provideMerge(queenLayer({ home }))))
      )
      yield* Effect.gen(function* () {
        const queen = yield* QueenClient
        const { peer } = yield* Client
        assert.notStrictEqual(queen.url, peer.url)
        yield* until(
          Effect.map(queen.run({ operation: "hive_list" }), resultOf),
          (hives) => JSON.parse(hives).hives.length === 2
        )
        assert.strictEqual(resultOf(yield* queen.run(list)), `{"workers":[]}`)
        const http = yield* HttpClient.HttpClient
        const { jobs } = JSON.parse(
          yield* Effect.flatMap(http.get(`${peer.url}/v1/jobs`), ({ text }) => text)
        )
        assert.deepStrictEqual(
          jobs.map(({ operation }: { readonly operation: string }) => operation),
          ["worker_list"]
        )
        const { name } = JSON.parse(
          yield* Effect.flatMap(http.get(`${peer.url}/v1/build-info`), ({ text }) => text)
        )
        assert.strictEqual(name, "hive")
      }).pipe(Effect.provide(both))
    })
  )

  it.live("have servers of their own: a queen and a fake hive in one layer", () =>
    Effect.flatMap(temporaryHome, (home) =>
      Effect.gen(function* () {
        const hive = yield* FakeHive
        const { ask, run } = yield* QueenClient
        yield* ask("POST", "/v1/heartbeat", beat("atlas", hive.url))
        assert.strictEqual(resultOf(yield* run(spawn)), `{"id":"tiny-1"}`)
        assert.lengthOf(yield* hive.received, 1)
        assert.lengthOf(JSON.parse((yield* ask("GET", "/v1/jobs")).text).jobs, 1)
      }).pipe(
        Effect.provide(
          FakeHive.layer(oneWorker, "atlas").pipe(
            Layer.provideMerge(QueenClient.layer),
            Layer.provideMerge(queenLayer({ home }))
          )
        )
      )
    )
  )
})
