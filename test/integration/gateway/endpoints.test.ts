import { assert, describe, it } from "@effect/vitest"
import { Deferred, Effect, Fiber, Schema, Stream } from "effect"
import { JobEvent } from "../../../src/job/log/JobEvent.ts"
import { ask, connect } from "../../support/daemon.ts"
import { type GatewayUnderTest, startGateway } from "../../support/gateway.ts"
import type { StreamWork } from "../../support/jobs.ts"
import { until } from "../../support/until.ts"

const data = (delta: object, finish_reason: string | null = null) =>
  JSON.stringify({ choices: [{ index: 0, delta, finish_reason }] })
const usage = JSON.stringify({
  choices: [],
  usage: { prompt_tokens: 7, completion_tokens: 2, total_tokens: 9 }
})
const chunk = (text: string) => new JobEvent("chunk", text)
const hello = [data({ content: "Hel" }), data({ content: "lo" }), data({}, "stop"), usage]
const answers: StreamWork = () => Stream.fromIterable(hello.map(chunk))

const chat = { model: "rbee:tiny", messages: [{ role: "user", content: "Hi" }] }

interface Asking {
  readonly headers?: Readonly<Record<string, string>>
  readonly path?: string
}

const post = (url: string, body: unknown, { headers = {}, path = "/v1/chat/completions" }: Asking = {}) =>
  ask(url, { method: "POST", path, headers, body: typeof body === "string" ? body : JSON.stringify(body) })

const Page = Schema.Struct({
  paths: Schema.Record(Schema.String, Schema.Record(Schema.String, Schema.Unknown))
})

const secret = `rbee-${"a".repeat(43)}`
const bearer = { authorization: `Bearer ${secret}` }
const app = { key: secret, name: "app" }

const errorOf = (text: string) => JSON.parse(text).error

const failing = (
  code: string,
  before: ReadonlyArray<JobEvent> = [],
  details?: { readonly status: number }
): StreamWork => {
  const message = `It went wrong: ${code}`
  return () =>
    Stream.concat(
      Stream.fromIterable(before),
      Stream.fail({ _tag: code, message, failure: { code, message, ...(details && { details }) } })
    )
}

const run = (work: StreamWork, body: object = chat, options: GatewayUnderTest = {}) =>
  Effect.flatMap(startGateway({ ...options, complete: () => work }), ({ url }) => post(url, body))

describe("OpenAI's endpoints", () => {
  it.live("forward the engine's chunks unchanged, with their origin in the headers", () =>
    Effect.gen(function* () {
      const { headers, status, text } = yield* run(answers, { ...chat, stream: true })
      assert.strictEqual(status, 200)
      const expected = [...hello.slice(0, 3), "[DONE]"].map((line) => `data: ${line}\n\n`).join("")
      assert.strictEqual(text, expected)
      assert.match(headers["content-type"] ?? "", /^text\/event-stream/)
      assert.match(String(headers["x-rbee-job-id"]), /^job-/)
      assert.deepStrictEqual(
        ["hive", "worker", "queue-ms", "load-ms"].map((name) => headers[`x-rbee-${name}`]),
        ["atlas", "tiny-1", "3", "2"]
      )
    })
  )

  it.live("write the usage into a stream only if requested", () =>
    Effect.gen(function* () {
      const { text } = yield* run(answers, { ...chat, stream: true, stream_options: { include_usage: true } })
      assert.strictEqual(text, [...hello, "[DONE]"].map((line) => `data: ${line}\n\n`).join(""))
    })
  )

  it.live("assemble an answer that is not streamed", () =>
    Effect.gen(function* () {
      const { status, text } = yield* run(answers)
      assert.strictEqual(status, 200)
      const { choices, id, model, object, usage } = JSON.parse(text)
      assert.deepStrictEqual(choices, [
        {
          index: 0,
          message: { role: "assistant", content: "Hello", refusal: null },
          logprobs: null,
          finish_reason: "stop"
        }
      ])
      assert.deepStrictEqual([model, object, usage.total_tokens], ["rbee:tiny", "chat.completion", 9])
      assert.match(id, /^chatcmpl-job-/)
    })
  )

  it.live("return the engine's embeddings document unchanged", () =>
    Effect.gen(function* () {
      const document = `{"object":"list","data":[{"embedding":[0.5],"index":0}]}`
      const { url } = yield* startGateway({
        complete:
          ({ api, body }) =>
          () => {
            assert.deepStrictEqual([api, body["input"]], ["embeddings", "Hi"])
            return Stream.make(new JobEvent("result", document))
          }
      })
      const { text } = yield* post(url, { model: "tiny", input: "Hi" }, { path: "/v1/embeddings" })
      assert.strictEqual(text, document)
    })
  )

  it.live("answer each kind of failure with its status, before any header of a 200", () =>
    Effect.gen(function* () {
      const statuses = {
        ContextLengthExceeded: [400, "invalid_request_error", "context_length_exceeded"],
        QueueFull: [429, "rate_limit_error", "QueueFull"],
        QueueTimeout: [503, "server_error", "QueueTimeout"],
        NotPlaceable: [503, "server_error", "NotPlaceable"],
        ConnectionFailed: [503, "server_error", "ConnectionFailed"],
        WorkerSilent: [504, "server_error", "WorkerSilent"],
        AnythingElse: [500, "server_error", "AnythingElse"]
      }
      for (const [code, [status, type, said]] of Object.entries(statuses)) {
        for (const stream of [true, false]) {
          const answer = yield* run(failing(code), { ...chat, stream })
          assert.strictEqual(answer.status, status, code)
          assert.deepStrictEqual(errorOf(answer.text), {
            message: `It went wrong: ${code}`,
            type,
            param: null,
            code: said
          })
          assert.strictEqual(
            answer.headers["retry-after"],
            status === 429 || status === 503 ? "2" : undefined
          )
        }
      }
    })
  )

  it.live("forward the status of a worker's refusal, and answer 502 for a broken worker", () =>
    Effect.gen(function* () {
      for (const [worker, expected] of [
        [400, 400],
        [422, 422],
        [500, 500],
        [200, 502]
      ] as const) {
        const { status } = yield* run(failing("WorkerRefused", [], { status: worker }))
        assert.strictEqual(status, expected)
      }
    })
  )

  it.live("end an interrupted stream with an error in the client's format", () =>
    Effect.gen(function* () {
      const { status, text } = yield* run(failing("AnswerLost", [chunk(data({ content: "Hel" }))]), {
        ...chat,
        stream: true
      })
      assert.strictEqual(status, 200)
      const [first, second = "", ...others] = text.split("\n\n")
      assert.strictEqual(first, `data: ${data({ content: "Hel" })}`)
      assert.strictEqual(errorOf(second.slice("data: ".length)).code, "AnswerLost")
      assert.deepStrictEqual(others, [""])
    })
  )

  it.live("reject invalid requests", () =>
    Effect.gen(function* () {
      const { jobs, url } = yield* startGateway({ settings: { limits: { bodyBytes: 1000 } } })
      const cases: ReadonlyArray<readonly [unknown, number, string, Readonly<Record<string, string>>?]> = [
        ["", 400, "InvalidRequest"],
        ["[]", 400, "InvalidRequest"],
        ["null", 400, "InvalidRequest"],
        [{ messages: [] }, 400, "InvalidRequest"],
        [{ model: 3 }, 400, "InvalidRequest"],
        [{ ...chat, stream: "yes" }, 400, "InvalidRequest"],
        [{ ...chat, model: "no-such" }, 404, "model_not_found"],
        ["x".repeat(2000), 413, "BodyTooLarge"],
        [chat, 400, "InvalidRequest", { "x-rbee-deadline-ms": "soon" }],
        [chat, 400, "InvalidRequest", { "x-rbee-deadline-ms": "0" }]
      ]
      for (const [body, status, code, headers = {}] of cases) {
        const answer = yield* post(url, body, { headers })
        assert.deepStrictEqual([answer.status, errorOf(answer.text).code], [status, code], answer.text)
      }
      assert.deepStrictEqual(yield* jobs.list, [])
    })
  )

  it.live("stop the work of a client that disconnects, before and after the first token", () =>
    Effect.gen(function* () {
      for (const before of [[], [chunk(data({ content: "Hel" }))]]) {
        const started = yield* Deferred.make<void>()
        const stopped = yield* Deferred.make<void>()
        const { jobs, url } = yield* startGateway({
          complete: () => () =>
            Stream.fromIterable(before).pipe(
              Stream.concat(
                Stream.fromEffectDrain(Effect.andThen(Deferred.succeed(started, undefined), Effect.never))
              ),
              Stream.ensuring(Deferred.succeed(stopped, undefined))
            )
        })
        const body = JSON.stringify({ ...chat, stream: true })
        const connection = yield* connect(
          url,
          `POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nContent-Length: ${body.length}\r\n\r\n${body}`
        )
        yield* Deferred.await(started)
        if (before.length > 0) yield* connection.until(({ body }) => body.includes("Hel"))
        connection.socket.destroy()
        yield* Deferred.await(stopped).pipe(Effect.timeout("2 seconds"))
        yield* until(jobs.list, ([job]) => job?.state === "cancelled")
      }
    })
  )

  it.live("forward the deadline and the alias's requirements", () =>
    Effect.gen(function* () {
      const { url } = yield* startGateway({
        aliases: { fast: { model: "rbee:tiny", context_size: 256 } },
        complete: ({ model, waitMs }) => {
          assert.deepStrictEqual([model.id, model.alias?.context_size, waitMs], ["rbee:tiny", 256, 1500])
          return answers
        }
      })
      const { status, text } = yield* post(
        url,
        { ...chat, model: "fast" },
        { headers: { "x-rbee-deadline-ms": "1500" } }
      )
      assert.deepStrictEqual([status, JSON.parse(text).model], [200, "fast"])
    })
  )

  it.live("list models and aliases, and show one by any of its names", () =>
    Effect.gen(function* () {
      const { url } = yield* startGateway({
        models: ["rbee:tiny", "hf:org/repo:Q4_K_M"],
        aliases: { fast: { model: "tiny" }, gone: { model: "hf:org/other" } }
      })
      const list = yield* ask(url, { path: "/v1/models" })
      assert.deepStrictEqual(
        JSON.parse(list.text).data.map(({ id }: { readonly id: string }) => id),
        ["fast", "rbee:tiny", "hf:org/repo:Q4_K_M"]
      )
      for (const name of ["hf:org/repo:Q4_K_M", "org/repo:Q4_K_M", "hf%3Aorg%2Frepo%3AQ4_K_M"]) {
        const one = yield* ask(url, { path: `/v1/models/${name}` })
        assert.deepStrictEqual([one.status, JSON.parse(one.text).id], [200, "hf:org/repo:Q4_K_M"], name)
      }
      const none = yield* ask(url, { path: "/v1/models/no-such" })
      assert.deepStrictEqual([none.status, errorOf(none.text).code], [404, "model_not_found"])
      const broken = yield* ask(url, { path: "/v1/models/%ff" })
      assert.include([400, 404], broken.status)
    })
  )
})

describe("API keys", () => {
  it.live("are not needed on loopback while none exists", () =>
    Effect.gen(function* () {
      const { url } = yield* startGateway({ complete: () => answers })
      for (const headers of [{}, { authorization: "Bearer ollama" }]) {
        assert.strictEqual((yield* post(url, chat, { headers })).status, 200)
      }
    })
  )

  it.live("are required as soon as one exists", () =>
    Effect.gen(function* () {
      const { url } = yield* startGateway({ keys: [app], complete: () => answers })
      const both = { "x-api-key": "from-an-old-variable", ...bearer }
      const spelt = { authorization: `bearer ${secret}` }
      for (const headers of [bearer, { "x-api-key": secret }, spelt, both]) {
        assert.strictEqual((yield* post(url, chat, { headers })).status, 200)
      }
      for (const headers of [{}, { authorization: "Bearer nonsense" }, { "x-api-key": `${secret}x` }]) {
        const refused = yield* post(url, chat, { headers })
        assert.deepStrictEqual([refused.status, errorOf(refused.text).code], [401, "invalid_api_key"])
        assert.include(errorOf(refused.text).message, "'Authorization: Bearer <key>'")
        assert.match(String(refused.headers["www-authenticate"]), /^Bearer /)
      }
    })
  )

  it.live("open the application endpoints of a daemon with a token, and nothing else", () =>
    Effect.gen(function* () {
      const token = "0123456789abcdef"
      const { url } = yield* startGateway({ keys: [app], token, complete: () => answers })
      const host = { host: "rbee.example" }
      assert.strictEqual((yield* post(url, chat, { headers: { ...bearer, ...host } })).status, 200)
      assert.strictEqual(
        (yield* post(url, chat, { headers: { authorization: `Bearer ${token}`, ...host } })).status,
        200
      )
      assert.strictEqual((yield* post(url, chat, { headers: host })).status, 403)
      assert.strictEqual((yield* post(url, chat)).status, 401)
      for (const path of ["/v1/jobs", "/openapi.json", "/nowhere"]) {
        const closed = yield* ask(url, { path, headers: bearer })
        assert.deepStrictEqual([closed.status, errorOf(closed.text).code], [403, "KeyForbidden"], path)
      }
      assert.strictEqual((yield* ask(url, { path: "/v1/jobs" })).status, 401)
      const page = yield* post(url, chat, { headers: { ...bearer, origin: "https://page.example" } })
      assert.deepStrictEqual([page.status, errorOf(page.text).code], [403, "Forbidden"])
    })
  )

  it.live("may be limited to some models", () =>
    Effect.gen(function* () {
      const { url } = yield* startGateway({
        models: ["rbee:tiny", "hf:org/repo"],
        aliases: { fast: { model: "rbee:tiny" } },
        keys: [{ ...app, models: ["fast"] }],
        complete: () => answers
      })
      assert.strictEqual((yield* post(url, { ...chat, model: "fast" }, { headers: bearer })).status, 200)
      const refused = yield* post(url, { ...chat, model: "hf:org/repo" }, { headers: bearer })
      assert.deepStrictEqual([refused.status, errorOf(refused.text).code], [403, "ModelForbidden"])
      const list = yield* ask(url, { path: "/v1/models", headers: bearer })
      assert.deepStrictEqual(
        JSON.parse(list.text).data.map(({ id }: { readonly id: string }) => id),
        ["fast"]
      )
      const one = yield* ask(url, { path: "/v1/models/hf:org/repo", headers: bearer })
      assert.strictEqual(one.status, 403)
      const unknown = yield* post(url, { ...chat, model: "none" }, { headers: bearer })
      assert.notInclude(unknown.text, "hf:org/repo")
      assert.include(unknown.text, "fast")
    })
  )

  it.live("limit the number of concurrent requests", () =>
    Effect.gen(function* () {
      const started = yield* Deferred.make<void>()
      const release = yield* Deferred.make<void>()
      const { url } = yield* startGateway({
        keys: [{ ...app, concurrency: 1 }],
        complete: () => (job) =>
          Stream.concat(
            Stream.fromEffectDrain(
              Effect.andThen(Deferred.succeed(started, undefined), Deferred.await(release))
            ),
            answers(job)
          )
      })
      const first = yield* Effect.forkChild(post(url, chat, { headers: bearer }))
      yield* Deferred.await(started)
      const second = yield* post(url, chat, { headers: bearer })
      assert.deepStrictEqual(
        [second.status, errorOf(second.text).code, second.headers["retry-after"]],
        [429, "rate_limit_exceeded", "1"]
      )
      yield* Deferred.succeed(release, undefined)
      assert.strictEqual((yield* Fiber.join(first)).status, 200)
      assert.strictEqual((yield* post(url, chat, { headers: bearer })).status, 200)
    })
  )

  it.live("limit the tokens per minute, as the engine counts them", () =>
    Effect.gen(function* () {
      // Each answer takes nine of them.
      const { url } = yield* startGateway({
        keys: [{ ...app, tokensPerMinute: 12 }],
        complete: () => answers
      })
      assert.strictEqual((yield* post(url, chat, { headers: bearer })).status, 200)
      assert.strictEqual((yield* post(url, { ...chat, stream: true }, { headers: bearer })).status, 200)
      const third = yield* post(url, chat, { headers: bearer })
      assert.deepStrictEqual([third.status, errorOf(third.text).code], [429, "rate_limit_exceeded"])
      const wait = Number(third.headers["retry-after"])
      assert.isTrue(wait > 20 && wait <= 60, `${wait} s`)
    })
  )
})

describe("a key's tokens a minute", () => {
  const limit = 200
  const asking = (url: string, body: object) => post(url, { ...chat, ...body }, { headers: bearer })

  it.live("are reserved at admission: of many concurrent requests only as many run as the limit allows", () =>
    Effect.gen(function* () {
      for (const [body, most] of [
        [{ max_tokens: 90 }, 2],
        [{ max_tokens: 40 }, 3],
        [{ max_completion_tokens: 90 }, 2],
        [{ max_tokens: 45, n: 2 }, 2],
        // Nobody knows how long the first becomes; the second can never fit.
        [{}, 1],
        [{ max_tokens: 4096 }, 1]
      ] as const) {
        const release = yield* Deferred.make<void>()
        let begun = 0
        const { url } = yield* startGateway({
          keys: [{ ...app, tokensPerMinute: limit }],
          complete: () => (job) => {
            begun++
            return Stream.concat(Stream.fromEffectDrain(Deferred.await(release)), answers(job))
          }
        })
        let refused = 0
        const one = Effect.tap(asking(url, body), ({ headers, status, text }) =>
          Effect.sync(() => {
            if (status === 200) return
            refused++
            assert.deepStrictEqual([status, errorOf(text).code], [429, "rate_limit_exceeded"])
            const wait = Number(headers["retry-after"])
            assert.isTrue(wait >= 1 && wait <= 60, `${wait} s`)
          })
        )
        const all = yield* Effect.forkChild(
          Effect.all(
            Array.from({ length: 60 }, () => one),
            { concurrency: "unbounded" }
          )
        )
        yield* until(
          Effect.sync(() => begun + refused),
          (count) => count === 60
        )
        // On a slow machine the tokens of one more come back while these are sent.
        assert.isTrue(begun === most || begun === most + 1, `${JSON.stringify(body)}: ${begun}`)
        yield* Deferred.succeed(release, undefined)
        yield* Fiber.join(all)
      }
    })
  )

  it.live("are returned at the end if they were not used", () =>
    Effect.gen(function* () {
      const { url } = yield* startGateway({
        keys: [{ ...app, tokensPerMinute: limit }],
        complete: () => answers
      })
      // Each has nine of 150; without settling the third would have to wait.
      for (let request = 0; request < 5; request++) {
        assert.strictEqual((yield* asking(url, { max_tokens: 150 })).status, 200)
      }
    })
  )
})

describe("a body that is nested too deeply", () => {
  it.live("gets 400 at every endpoint that accepts a body, in the format of its API", () =>
    Effect.gen(function* () {
      const { url } = yield* startGateway({})
      const deep = "[".repeat(50_000) + "]".repeat(50_000)
      for (const path of [
        "/v1/chat/completions",
        "/v1/completions",
        "/v1/embeddings",
        "/v1/responses",
        "/v1/messages",
        "/api/chat",
        "/api/generate",
        "/api/embed",
        "/api/show",
        "/api/pull",
        "/v1/jobs"
      ]) {
        const { status, text } = yield* post(url, `{"model":"tiny","messages":${deep}}`, { path })
        assert.strictEqual(status, 400, path)
        assert.include(text, "nested deeper than 200", path)
      }
    })
  )
})

describe("Ollama's endpoints", () => {
  it.live("report an unexpected document of the engine", () =>
    Effect.gen(function* () {
      for (const document of ["<html>", "{}", `{"data":[{"embedding":"AAA="}]}`]) {
        const { url } = yield* startGateway({
          complete: () => () => Stream.make(new JobEvent("result", document))
        })
        const { status, text } = yield* post(url, { model: "tiny", input: "Hi" }, { path: "/api/embed" })
        assert.strictEqual(status, 502)
        assert.include(JSON.parse(text).error, "unexpected response")
      }
    })
  )
})

describe("all application endpoints", () => {
  it.live("are listed on the OpenAPI page, and all listed endpoints exist", () =>
    Effect.gen(function* () {
      const { url } = yield* startGateway({})
      const page = yield* Effect.promise(() => fetch(`${url}/openapi.json`).then((answer) => answer.json()))
      const { paths } = Schema.decodeUnknownSync(Page)(page)
      const doors = Object.entries(paths).flatMap(([path, methods]) =>
        Object.entries(methods).flatMap(([method, described]) =>
          JSON.stringify(described).includes(`"apiKey"`) ? [{ method, path }] : []
        )
      )
      assert.lengthOf(doors, 21)
      for (const { method, path } of doors) {
        const text = yield* Effect.promise(() =>
          fetch(url + path, { method: method.toUpperCase() }).then((answer) => answer.text())
        )
        assert.notInclude(text, `"NotFound"`, `${method} ${path}`)
      }
    })
  )
})
