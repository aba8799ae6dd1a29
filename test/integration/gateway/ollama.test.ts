import { assert, describe, it } from "@effect/vitest"
import { Context, Deferred, Effect, Layer, Stream } from "effect"
import { Ollama } from "ollama"
import { ApiKeys } from "../../../src/access/ApiKeys.ts"
import { Token } from "../../../src/access/Token.ts"
import { daemon } from "../../../src/daemon/Daemon.ts"
import { boundUrl } from "../../../src/daemon/DaemonAddress.ts"
import { gatewayHandlers, publicRoutes } from "../../../src/gateway/Gateway.ts"
import { pulledId } from "../../../src/gateway/ollama/pull.ts"
import { pickModel, publicModels, Upstream } from "../../../src/gateway/upstream/Upstream.ts"
import { Handlers } from "../../../src/job/Handlers.ts"
import { Jobs } from "../../../src/job/Jobs.ts"
import { JobEvent } from "../../../src/job/log/JobEvent.ts"
import { OperationRouter } from "../../../src/job/OperationRouter.ts"
import { streamWork } from "../../../src/job/Submission.ts"
import { hiveCommand } from "../../../src/operation/Routing.ts"
import { Settings } from "../../../src/settings/Settings.ts"
import { version } from "../../../src/system/Program.ts"
import { ask, connect } from "../../support/daemon.ts"
import { linesOf } from "../../support/endpointAnswers.ts"
import { storedModel, TestApi } from "../../support/gateway.ts"
import type { StreamWork } from "../../support/jobs.ts"

const key = `rbee-${"a".repeat(43)}`
const tiny = storedModel("rbee:tiny")
const models = publicModels(
  [
    { hive: "atlas", models: [tiny, storedModel("ollama:llama3.2:1b")] },
    { hive: "nyx", models: [tiny] }
  ],
  { fast: { model: "rbee:tiny" } }
)

interface Asked {
  readonly operation: string
  readonly hive_id: string
  readonly id?: string
  readonly model?: string
}

const upstream = Layer.succeed(
  Upstream,
  Upstream.of({
    models: Effect.succeed(models),
    find: (name) => Effect.fromResult(pickModel(models, name)),
    workers: Effect.succeed([
      {
        hive: "nyx",
        worker: {
          worker_id: "tiny-1",
          state: "ready",
          model_id: "rbee:tiny",
          engine: "llama",
          device: "GPU-0",
          slots: 1,
          busy: 0,
          context_size: 512,
          memory_bytes: 20_000_000
        }
      }
    ]),
    complete: () => () => Effect.die("nothing was to be asked of a worker")
  })
)

/** Ollama's routes on a real socket; each operation does the work of the test. Gives what was asked of the daemon. */
const start = Effect.fnUntraced(function* (work: (asked: Asked) => StreamWork = () => () => Stream.empty) {
  const asked: Array<Asked> = []
  const operations = Layer.succeed(
    OperationRouter,
    OperationRouter.of({
      route: (body) =>
        Effect.sync(() => {
          const operation: Asked = JSON.parse(body)
          asked.push(operation)
          return {
            operation: operation.operation,
            routing: hiveCommand,
            router: "test",
            work: streamWork(work(operation))
          }
        })
    })
  )
  const layer = daemon({ name: "test", host: "127.0.0.1", port: 0 }, TestApi, gatewayHandlers).pipe(
    Layer.provide(publicRoutes),
    Layer.provide([ApiKeys.layerMemory([{ key, name: "app", models: ["fast"] }]), upstream, operations]),
    Layer.provideMerge(Jobs.layer),
    Layer.provide(Layer.fresh(Handlers.layer)),
    Layer.provideMerge(
      Layer.mergeAll(Settings.layerDefaults(), Token.layerMemory("owner-token-of-this-test"))
    )
  )
  const context = yield* Layer.build(layer)
  return { asked, jobs: Context.get(context, Jobs), url: yield* Effect.provideContext(boundUrl, context) }
})

const owner = { authorization: "Bearer owner-token-of-this-test" }
const app = { authorization: `Bearer ${key}` }

const send = (url: string, path: string, given: object, method = "POST", headers = owner) => {
  const body = JSON.stringify(given)
  return ask(url, { method, path, headers: { ...headers, "content-length": body.length }, body })
}

const bringing: StreamWork = () =>
  Stream.make(
    JobEvent.narration("hv-model", "model_find", "Looking for ollama:llama3.2:1b"),
    JobEvent.progress({ stage: "download", current: 0, unit: "bytes" }),
    JobEvent.progress({ stage: "download", current: 5, total: 10, unit: "bytes" }),
    JobEvent.line("from an older hive"),
    JobEvent.result({ id: "ollama:llama3.2:1b" })
  )
const failing =
  (_tag: string, message: string): StreamWork =>
  () =>
    Stream.fail({ _tag, message })

describe("a client that checks whether the server runs", () => {
  it.live("gets an answer by GET and by HEAD", () =>
    Effect.gen(function* () {
      const { url } = yield* start()
      for (const [path, text] of [
        ["/", "rbee is running"],
        ["/api/version", `{"version":"0.13.4+rbee.${version}"}`]
      ] as const) {
        const got = yield* ask(url, { path, headers: owner })
        assert.deepStrictEqual([got.status, got.text], [200, text])
        const head = yield* ask(url, { method: "HEAD", path, headers: owner })
        assert.deepStrictEqual([head.status, head.text], [200, ""])
      }
      assert.strictEqual((yield* ask(url, { method: "HEAD", path: "/api/tags", headers: owner })).status, 200)
    })
  )

  it.live("gets an error if it changes what is read-only", () =>
    Effect.gen(function* () {
      const { url } = yield* start()
      const { status, text } = yield* send(url, "/api/tags", {})
      assert.deepStrictEqual([status, text], [405, '{"error":"/api/tags answers GET, HEAD only"}'])
    })
  )

  it.live("gets errors in Ollama's format on every path below /api", () =>
    Effect.gen(function* () {
      const { url } = yield* start()
      const tried = [
        ["GET", "/api/nothing", 404],
        ["POST", "/api/nothing/else?x=1", 404],
        ["POST", "/api/", 404],
        ["GET", "/api", 404],
        ["POST", "/api/signin", 404],
        ["GET", "/api/chat", 405],
        ["PUT", "/api/embed", 405],
        ["GET", "/api/show?x=1", 405],
        ["POST", "/api/delete", 405],
        ["GET", "/api/pull", 405],
        ["POST", "/api/ps", 405]
      ] as const
      for (const [method, path, status] of tried) {
        const got = yield* send(url, path, {}, method)
        assert.deepStrictEqual([path, got.status], [path, status])
        assert.isString(JSON.parse(got.text).error, path)
        assert.strictEqual(got.headers["allow"] !== undefined, status === 405, path)
      }
      for (const headers of [{ authorization: "Bearer wrong" }, { origin: "http://evil.example" }]) {
        const refused = yield* ask(url, { method: "GET", path: "/api/nothing", headers })
        assert.isTrue(refused.status === 401 || refused.status === 403)
        assert.isString(JSON.parse(refused.text).error)
      }
    })
  )

  it.live("gets a version that is new enough in every comparison", () =>
    Effect.gen(function* () {
      const { url } = yield* start()
      const told = yield* Effect.promise(() => new Ollama({ host: url, headers: owner }).version())
      assert.match(told.version, /^0\.13\.4\+rbee\./)
      assert.notInclude(told.version, "-")
    })
  )
})

describe("an API key", () => {
  it.live("lists only the models that it may use", () =>
    Effect.gen(function* () {
      const { url } = yield* start()
      const client = new Ollama({ host: url, headers: app })
      const names = (yield* Effect.promise(() => client.list())).models.map(({ name }) => name)
      assert.deepStrictEqual(names, ["fast"])
      const running = (yield* Effect.promise(() => client.ps())).models.map(({ name }) => name)
      assert.deepStrictEqual(running, ["fast"])
      assert.strictEqual((yield* send(url, "/api/show", { model: "fast" }, "POST", app)).status, 200)
      const hidden = yield* send(url, "/api/show", { model: "llama3.2:1b" }, "POST", app)
      assert.strictEqual(hidden.status, 403)
      assert.include(JSON.parse(hidden.text).error, "'llama3.2:1b'")
    })
  )

  it.live("does not learn the names of other models from an unknown one", () =>
    Effect.gen(function* () {
      const { url } = yield* start()
      const { status, text } = yield* send(url, "/api/show", { model: "none" }, "POST", app)
      assert.strictEqual(status, 404)
      assert.include(JSON.parse(text).error, "available: fast. Download")
    })
  )

  it.live("may not change anything", () =>
    Effect.gen(function* () {
      const { asked, url } = yield* start()
      const pulled = yield* send(url, "/api/pull", { model: "fast" }, "POST", app)
      const deleted = yield* send(url, "/api/delete", { model: "fast" }, "DELETE", app)
      const created = yield* send(url, "/api/create", { model: "x", from: "fast" }, "POST", app)
      const copied = yield* send(url, "/api/copy", { source: "fast", destination: "x" }, "POST", app)
      assert.deepStrictEqual(
        [pulled.status, deleted.status, created.status, copied.status],
        [403, 403, 403, 403]
      )
      assert.isEmpty(asked)
    })
  )
})

describe("a model's name", () => {
  it.live("may be in either field, because Ollama's client sends both", () =>
    Effect.gen(function* () {
      const { url } = yield* start()
      for (const body of [
        { model: "llama3.2:1b" },
        { name: "llama3.2:1b" },
        { model: "", name: "llama3.2:1b" },
        { model: "llama3.2:1b", name: "" }
      ]) {
        const { status, text } = yield* send(url, "/api/show", body)
        assert.deepStrictEqual([status, JSON.parse(text).modelfile], [200, "FROM ollama:llama3.2:1b\n"])
      }
      for (const body of [{}, { model: "" }, { model: null, name: null }]) {
        const { status, text } = yield* send(url, "/api/show", body)
        assert.deepStrictEqual([status, text], [400, `{"error":"'model' must be the name of a model"}`])
      }
      const unknown = yield* send(url, "/api/show", { model: "none" })
      assert.strictEqual(unknown.status, 404)
      assert.include(JSON.parse(unknown.text).error, "Model 'none' is not on any hive")
    })
  )

  it("that is pulled has the source that Ollama means by it", () => {
    for (const [name, id] of [
      ["llama3.2:1b", "ollama:llama3.2:1b"],
      ["someone/model", "ollama:someone/model"],
      ["hf.co/org/repo:Q4_K_M", "hf:org/repo:Q4_K_M"],
      ["huggingface.co/org/repo", "hf:org/repo"],
      ["hf:org/repo", "hf:org/repo"],
      ["ollama:x", "ollama:x"],
      ["https://host/model.gguf", "https://host/model.gguf"],
      ["rbee:tiny", "rbee:tiny"],
      // No name of Ollama, so the hive refuses it, and reads no file.
      ["/etc/model.gguf", "ollama:/etc/model.gguf"]
    ] as const) {
      const found = pulledId(name)
      assert.deepStrictEqual([name, found._tag === "Success" ? found.success : undefined], [name, id])
    }
    for (const name of ["file:/etc/passwd", "FILE:/etc/passwd"]) {
      assert.strictEqual(pulledId(name)._tag, "Failure")
    }
  })
})

describe("a pull", () => {
  it.live("is a download by any hive, reported in Ollama's lines", () =>
    Effect.gen(function* () {
      const { asked, url } = yield* start(() => bringing)
      const { headers, text } = yield* send(url, "/api/pull", { model: "llama3.2:1b" })
      const job = headers["x-rbee-job-id"]
      assert.match(String(job), /^job-/)
      assert.strictEqual(headers["content-type"], "application/x-ndjson")
      assert.deepStrictEqual(asked, [
        { operation: "model_download", hive_id: "auto", model: "ollama:llama3.2:1b" }
      ])
      assert.deepStrictEqual(linesOf(text), [
        { status: "pulling manifest" },
        { status: "Executing operation: model_download" },
        { status: "Looking for ollama:llama3.2:1b" },
        { status: "pulling llama3.2:1b", digest: job, completed: 0 },
        { status: "pulling llama3.2:1b", digest: job, total: 10, completed: 5 },
        { status: "from an older hive" },
        { status: "success" }
      ])
    })
  )

  it.live("is read by the official client, streamed and complete", () =>
    Effect.gen(function* () {
      const { url } = yield* start(() => bringing)
      const client = new Ollama({ host: url, headers: owner })
      const told = yield* Effect.promise(async () => {
        const parts = []
        for await (const part of await client.pull({ model: "x", stream: true })) parts.push(part)
        return parts
      })
      assert.deepInclude(told.at(-2), { status: "from an older hive" })
      assert.strictEqual(told.at(-1)?.status, "success")
      // Ollama's own client shows these twelve characters of it.
      assert.lengthOf(String(told.find(({ digest }) => digest)?.digest.slice(7, 19)), 12)
      assert.strictEqual((yield* Effect.promise(() => client.pull({ model: "x" }))).status, "success")
    })
  )

  it.live("names its job also if it is not streamed", () =>
    Effect.gen(function* () {
      const { jobs, url } = yield* start(() => bringing)
      const { headers } = yield* send(url, "/api/pull", { model: "x", stream: false })
      const record = yield* jobs.get(String(headers["x-rbee-job-id"]))
      assert.deepStrictEqual([record.operation, record.state], ["model_download", "completed"])
    })
  )

  it.live("ends with its error", () =>
    Effect.gen(function* () {
      const { url } = yield* start(() => failing("InvalidModelId", "'x y' is not a model id"))
      for (const stream of [true, false]) {
        const { status, text } = yield* send(url, "/api/pull", { model: "x y", stream })
        assert.deepStrictEqual([status, text], [400, `{"error":"'x y' is not a model id"}`])
      }
    })
  )

  it.live("is rejected with a status, streamed or not, before anything is downloaded", () =>
    Effect.gen(function* () {
      for (const [tag, status] of [
        ["InvalidModelId", 400],
        ["NoSuchFile", 400],
        ["NotDownloadable", 400],
        ["PrivateAddress", 403],
        ["DownloadUnauthorized", 403],
        ["DownloadNotFound", 502],
        ["ServerFailed", 502],
        ["DownloadInterrupted", 502],
        ["RateLimited", 502],
        ["DiskFull", 507]
      ] as const) {
        const { url } = yield* start(
          () => () =>
            Stream.concat(
              Stream.make(JobEvent.narration("hv-model", "model_find", "Looking for ollama:x")),
              Stream.fail({ _tag: tag, message: "it is so" })
            )
        )
        for (const stream of [true, false]) {
          const got = yield* send(url, "/api/pull", { model: "x", stream })
          assert.deepStrictEqual([tag, got.status, got.text], [tag, status, '{"error":"it is so"}'])
        }
      }
    })
  )

  it.live("reports a later error in its last line", () =>
    Effect.gen(function* () {
      const { url } = yield* start(
        () => () =>
          Stream.concat(
            Stream.make(JobEvent.progress({ stage: "download", current: 5, total: 10, unit: "bytes" })),
            Stream.fail({ _tag: "DownloadInterrupted", message: "it broke off" })
          )
      )
      const { status, text } = yield* send(url, "/api/pull", { model: "x" })
      assert.strictEqual(status, 200)
      assert.deepStrictEqual(linesOf(text).at(-1), { error: "it broke off" })
    })
  )

  it.live("reads no file of a machine", () =>
    Effect.gen(function* () {
      const { asked, url } = yield* start()
      assert.strictEqual((yield* send(url, "/api/pull", { model: "file:/etc/passwd" })).status, 400)
      assert.isEmpty(asked)
    })
  )

  it.live("continues after its client has disconnected", () =>
    Effect.gen(function* () {
      const left = yield* Deferred.make<void>()
      const { jobs, url } = yield* start(
        () => () =>
          Stream.concat(
            Stream.make(JobEvent.progress({ stage: "download", current: 0, unit: "bytes" })),
            Stream.drain(Stream.fromEffect(Deferred.await(left)))
          )
      )
      const connection = yield* connect(
        url,
        "POST /api/pull HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer owner-token-of-this-test\r\n" +
          'Content-Length: 13\r\n\r\n{"model":"x"}'
      )
      yield* connection.until(({ received }) => received.includes("pulling manifest"))
      const [, job = ""] = /x-rbee-job-id: (job-[0-9a-f-]+)/i.exec(connection.received) ?? []
      const { log } = yield* jobs.follow(job)
      connection.socket.destroy()
      yield* connection.until(({ closed }) => closed)
      // The daemon hears of it before it answers another.
      yield* ask(url, { path: "/health" })
      assert.strictEqual((yield* jobs.get(job)).state, "running")
      const ended = Effect.callback<void>((resume) => {
        const stop = log.onAppend(() => resume(Effect.void))
        return Effect.sync(stop)
      })
      yield* Effect.all([ended, Deferred.succeed(left, undefined)], { concurrency: "unbounded" })
      assert.strictEqual((yield* jobs.get(job)).state, "completed")
    })
  )
})

describe("a creation", () => {
  const definition = { system: "Be kind", parameters: { temperature: 0.1 } }

  it.live("is done on each hive that has the source model, and succeeds if one succeeds", () =>
    Effect.gen(function* () {
      const { asked, url } = yield* start(({ hive_id }) =>
        hive_id === "atlas" ? failing("ConnectionFailed", "nobody there") : () => Stream.empty
      )
      const { status, text } = yield* send(url, "/api/create", { model: "kind", from: "tiny", ...definition })
      assert.deepStrictEqual([status, text], [200, '{"status":"success"}\n'])
      const made = { operation: "model_create", id: "kind", from: "rbee:tiny", ...definition }
      assert.deepStrictEqual(asked, [
        { ...made, hive_id: "atlas" },
        { ...made, hive_id: "nyx" }
      ])
    })
  )

  it.live("fails if it fails on all", () =>
    Effect.gen(function* () {
      const { url } = yield* start(() => failing("ModelNotCreated", "the disk is full"))
      for (const [path, body] of [
        ["/api/create", { model: "kind", from: "tiny" }],
        ["/api/copy", { source: "tiny", destination: "kind" }]
      ] as const) {
        const { status, text } = yield* send(url, path, body)
        assert.deepStrictEqual([status, text], [500, '{"error":"the disk is full"}'])
      }
    })
  )
})

describe("a deletion", () => {
  it.live("is done on each hive that has the model", () =>
    Effect.gen(function* () {
      const { asked, url } = yield* start()
      yield* Effect.promise(() => new Ollama({ host: url, headers: owner }).delete({ model: "tiny" }))
      assert.deepStrictEqual(asked, [
        { operation: "model_delete", hive_id: "atlas", id: "rbee:tiny" },
        { operation: "model_delete", hive_id: "nyx", id: "rbee:tiny" }
      ])
    })
  )

  it.live("is tried on all, and fails if it fails on one", () =>
    Effect.gen(function* () {
      const { asked, url } = yield* start(({ hive_id }) =>
        hive_id === "atlas" ? failing("ModelInUse", "Worker tiny-1 uses it") : () => Stream.empty
      )
      const { status, text } = yield* send(url, "/api/delete", { model: "rbee:tiny" }, "DELETE")
      assert.deepStrictEqual([status, text], [409, '{"error":"Worker tiny-1 uses it"}'])
      // Once more on the hive that had it loaded; nothing was idle there.
      assert.deepStrictEqual(
        asked.map(({ hive_id, operation }) => [operation, hive_id]),
        [
          ["model_delete", "atlas"],
          ["model_delete", "nyx"],
          ["model_delete", "atlas"]
        ]
      )
    })
  )

  it.live("gets 404 for a model that is on no hive", () =>
    Effect.gen(function* () {
      const { asked, url } = yield* start()
      const { status, text } = yield* send(url, "/api/delete", { name: "none" }, "DELETE")
      assert.strictEqual(status, 404)
      assert.include(JSON.parse(text).error, "Model 'none' is not on any hive")
      assert.isEmpty(asked)
    })
  )
})
