import { NodeServices } from "@effect/platform-node"
import { assert, describe, it } from "@effect/vitest"
import { ConfigProvider, Effect, FileSystem, Layer, Stream } from "effect"
import { Token } from "../../../src/access/Token.ts"
import { Paths } from "../../../src/settings/Paths.ts"
import { ask, connect, startDaemon, type Sent, submitTo, type Works } from "../../support/daemon.ts"

const token = "0123456789abcdef"
const works: Works = { wait: () => () => Stream.never }

const everything: ReadonlyArray<Sent> = [
  { path: "/v1/jobs" },
  { path: "/v1/jobs", method: "POST", body: `{"operation":"wait"}` },
  { path: "/v1/jobs/job-x" },
  { path: "/v1/jobs/job-x", method: "DELETE" },
  { path: "/v1/jobs/job-x/stream" },
  { path: "/v1/jobs/job-x/events" },
  { path: "/v1/build-info" },
  { path: "/openapi.json" },
  { path: "/docs" },
  { path: "/v1/shutdown", method: "POST" },
  { path: "/no/such/path" },
  { path: "/health/" },
  { path: "/health/../v1/jobs" },
  { path: "//health" },
  { path: "/HEALTH" }
]

const statusOf = (url: string, sent: Sent) => Effect.map(ask(url, sent), ({ status }) => status)

describe("a daemon with a token", () => {
  it.live("answers 401 in JSON to a missing, malformed or wrong token at every path, and does nothing", () =>
    Effect.gen(function* () {
      const { jobs, url } = yield* startDaemon({ token, works })
      const headers = [
        undefined,
        "",
        token,
        "Bearer",
        "Bearer ",
        `Bearer${token}`,
        `Bearer ${token} ${token}`,
        `Bearer ${token}x`,
        `Bearer ${token.slice(1)}`,
        `Basic ${Buffer.from(token).toString("base64")}`,
        `Bearer ${"x".repeat(5000)}`
      ]
      for (const authorization of headers) {
        for (const sent of everything) {
          const answer = yield* ask(url, {
            ...sent,
            headers: authorization === undefined ? {} : { authorization }
          })
          assert.strictEqual(answer.status, 401, `${sent.path} ${authorization}`)
          const { code, message } = JSON.parse(answer.text).error
          assert.strictEqual(code, "Unauthorized")
          assert.include(message, "'Authorization: Bearer <token>'")
          assert.match(String(answer.headers["www-authenticate"]), /^Bearer realm="rbee"/)
          assert.notInclude(answer.text, token)
        }
      }
      assert.deepStrictEqual(yield* jobs.list, [])
    })
  )

  it.live("accepts the right token", () =>
    Effect.gen(function* () {
      const { url } = yield* startDaemon({ token, works })
      for (const scheme of ["Bearer", "bearer", "BEARER", "Bearer "]) {
        const headers = { authorization: `${scheme} ${token}` }
        const id = yield* submitTo(url, { operation: "wait" }, headers)
        assert.strictEqual(yield* statusOf(url, { path: `/v1/jobs/${id}`, headers }), 200)
      }
    })
  )

  it.live("says whether the token is missing or wrong", () =>
    Effect.gen(function* () {
      const { url } = yield* startDaemon({ token })
      const without = yield* ask(url, { path: "/v1/jobs" })
      assert.include(without.text, "Authentication required")
      assert.strictEqual(without.headers["www-authenticate"], 'Bearer realm="rbee"')
      const wrong = yield* ask(url, { path: "/v1/jobs", headers: { authorization: `Bearer ${token}x` } })
      assert.include(wrong.text, "not the token of this daemon")
      assert.include(String(wrong.headers["www-authenticate"]), 'error="invalid_token"')
    })
  )

  it.live("answers /health without a token: by HEAD, for any Host, and by HTTP/1.0 without a Host", () =>
    Effect.gen(function* () {
      const { url } = yield* startDaemon({ token })
      for (const path of ["/health", "/health?x=1"]) {
        for (const host of ["localhost", "10.0.0.1:8500", "queen.example"]) {
          const answer = yield* ask(url, { path, headers: { host } })
          assert.deepStrictEqual([answer.status, answer.text], [200, "ok"], host)
          const looked = yield* ask(url, { path, method: "HEAD", headers: { host } })
          assert.deepStrictEqual([looked.status, looked.text], [200, ""], host)
          assert.strictEqual(looked.headers["content-length"], "2")
        }
      }
      for (const line of ["GET /health HTTP/1.0", "HEAD /health HTTP/1.0"]) {
        const raw = yield* connect(url, `${line}\r\n\r\n`)
        yield* raw.until(({ closed }) => closed)
        assert.match(raw.received, /^HTTP\/1\.[01] 200 /, line)
      }
      const jobs = yield* connect(url, "GET /v1/jobs HTTP/1.0\r\n\r\n")
      yield* jobs.until(({ closed }) => closed)
      assert.match(jobs.received, /^HTTP\/1\.[01] 403 /)
    })
  )

  it.live("answers HEAD wherever it answers GET, and nowhere else", () =>
    Effect.gen(function* () {
      const { jobs, url } = yield* startDaemon({ works })
      const id = yield* submitTo(url, { operation: "wait" })
      const readable = ["/", "/v1/jobs", "/v1/build-info", "/openapi.json", "/docs", `/v1/jobs/${id}`]
      for (const path of [...readable, `/v1/jobs/${id}/stream`, `/v1/jobs/${id}/events`]) {
        const looked = yield* ask(url, { path, method: "HEAD" })
        assert.deepStrictEqual([looked.status, looked.text], [200, ""], path)
      }
      for (const path of readable) {
        const looked = yield* ask(url, { path, method: "HEAD" })
        const { headers, text } = yield* ask(url, { path })
        assert.strictEqual(looked.headers["content-type"], headers["content-type"], path)
        if (path !== "/v1/jobs" && !path.includes(id))
          assert.strictEqual(looked.headers["content-length"], String(Buffer.byteLength(text)), path)
      }
      for (const path of ["/v1/shutdown", "/v1/jobs/none", "/nowhere"]) {
        assert.strictEqual(yield* statusOf(url, { path, method: "HEAD" }), 404, path)
      }
      assert.strictEqual((yield* jobs.list)[0]?.state, "running")
    })
  )

  it.live("requires the token also for a request line with a complete URL", () =>
    Effect.gen(function* () {
      const { url } = yield* startDaemon({ token })
      for (const target of [
        "http://localhost/v1/jobs",
        "http://x/health/../v1/jobs",
        "/health#/../v1/jobs",
        "*"
      ]) {
        const raw = yield* connect(
          url,
          `GET ${target} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n`
        )
        yield* raw.until(({ closed }) => closed)
        assert.match(raw.received, /^HTTP\/1\.1 4\d\d /, target)
        assert.notInclude(raw.received, `"jobs"`)
      }
    })
  )
})

describe("a web page", () => {
  it.live("gets 403 for its Origin, also on /health, and changes nothing", () =>
    Effect.gen(function* () {
      const { jobs, url } = yield* startDaemon({ works })
      for (const origin of ["http://evil.example", "null", "http://localhost:8500", "file://", ""]) {
        for (const sent of [...everything, { path: "/health" }]) {
          const answer = yield* ask(url, { ...sent, headers: { origin } })
          assert.strictEqual(answer.status, 403, `${sent.path} ${origin}`)
          assert.strictEqual(JSON.parse(answer.text).error.code, "Forbidden")
          assert.isUndefined(answer.headers["access-control-allow-origin"])
        }
      }
      assert.deepStrictEqual(yield* jobs.list, [])
    })
  )

  it.live("gets 403 for a foreign Host, as after DNS rebinding", () =>
    Effect.gen(function* () {
      const { url } = yield* startDaemon({ works })
      for (const host of [
        "evil.example",
        "evil.example:8500",
        "localhost.evil.example",
        "127.0.0.1.evil.example",
        "127.0.0.1@evil.example",
        "evil.example#localhost",
        "10.0.0.1:8500",
        "[::2]"
      ]) {
        assert.strictEqual(yield* statusOf(url, { path: "/v1/jobs", headers: { host } }), 403, host)
      }
      const empty = yield* connect(url, "GET /v1/jobs HTTP/1.1\r\nHost:\r\nConnection: close\r\n\r\n")
      yield* empty.until(({ closed }) => closed)
      assert.match(empty.received, /^HTTP\/1\.1 403 /)
      for (const host of ["localhost", "LOCALHOST:1", "127.0.0.1:8500", "127.1.2.3", "[::1]:8500"]) {
        assert.strictEqual(yield* statusOf(url, { path: "/v1/jobs", headers: { host } }), 200, host)
      }
    })
  )

  it.live("of the daemon itself is accepted: its Origin is the request's own scheme and host", () =>
    Effect.gen(function* () {
      const { url } = yield* startDaemon({ works, settings: { allowedHosts: ["rbee.lan"] } })
      const status = (host: string, origin: string) =>
        statusOf(url, { path: "/v1/jobs", headers: { host, origin } })
      assert.strictEqual(yield* status("127.0.0.1:8500", "http://127.0.0.1:8500"), 200)
      assert.strictEqual(yield* status("Localhost:8500", "http://localhost:8500"), 200)
      assert.strictEqual(yield* status("rbee.lan", "http://rbee.lan"), 200)
      // Another port, scheme or name is another origin; and a host that is not meant is none's own.
      assert.strictEqual(yield* status("127.0.0.1:8500", "http://127.0.0.1:3000"), 403)
      assert.strictEqual(yield* status("127.0.0.1:8500", "https://127.0.0.1:8500"), 403)
      assert.strictEqual(yield* status("127.0.0.1:8500", "http://localhost:8500"), 403)
      assert.strictEqual(yield* status("evil.example", "http://evil.example"), 403)
    })
  )

  it.live("is accepted if the settings allow its Origin", () =>
    Effect.gen(function* () {
      const { url } = yield* startDaemon({
        settings: {
          allowedHosts: ["rbee.lan", "one.lan:9000"],
          allowedOrigins: ["https://ui.lan"],
          queen: { host: "192.0.2.7" }
        }
      })
      const status = (headers: Readonly<Record<string, string>>) =>
        statusOf(url, { path: "/v1/jobs", headers })
      assert.strictEqual(yield* status({ host: "rbee.lan:8500" }), 200)
      assert.strictEqual(yield* status({ host: "one.lan:9000" }), 200)
      assert.strictEqual(yield* status({ host: "one.lan:9001" }), 403)
      assert.strictEqual(yield* status({ host: "192.0.2.7:8500" }), 200)
      assert.strictEqual(yield* status({ origin: "https://ui.lan" }), 200)
      assert.strictEqual(yield* status({ origin: "https://ui.lan.evil.example" }), 403)
    })
  )
})

describe("an address beyond loopback", () => {
  it.live("is refused without a token and accepted with one", () =>
    Effect.gen(function* () {
      for (const host of ["0.0.0.0", "::", "192.0.2.1", "example.com", "", "127.evil", "127.0.0.1.evil"]) {
        const error = yield* Effect.flip(startDaemon({ host }))
        assert.strictEqual(error._tag, "BindRefused", host)
        assert.include(error.message, "RBEE_TOKEN")
      }
      const { url } = yield* startDaemon({ host: "0.0.0.0", token })
      const loopback = url.replace("0.0.0.0", "127.0.0.1")
      assert.strictEqual(yield* statusOf(loopback, { path: "/v1/jobs" }), 401)
      assert.strictEqual(
        yield* statusOf(loopback, { path: "/v1/jobs", headers: { authorization: `Bearer ${token}` } }),
        200
      )
    })
  )
})

describe("a token", () => {
  const readToken = (given: string) =>
    Effect.gen(function* () {
      const fs = yield* FileSystem.FileSystem
      const home = yield* fs.makeTempDirectoryScoped({ prefix: "rbee-token-" })
      const file = `${home}/given`
      yield* fs.writeFileString(file, given)
      const read = Token.use(({ accepts, own }) => Effect.succeed({ accepts, own }))
      const provided = (layer: typeof Token.layer, env: Readonly<Record<string, string>>) =>
        Effect.exit(
          Effect.provide(read, layer.pipe(Layer.provide(Paths.layerAt(home)), Layer.fresh)).pipe(
            Effect.provideService(ConfigProvider.ConfigProvider, ConfigProvider.fromEnv({ env }))
          )
        )
      return {
        fromFile: yield* provided(Token.layerWith(file), {}),
        fromVariable: yield* provided(Token.layer, { RBEE_TOKEN: given })
      }
    }).pipe(Effect.scoped, Effect.provide(NodeServices.layer))

  it.live("shorter than 16 characters, or with a space, is refused and not shown", () =>
    Effect.gen(function* () {
      for (const bad of ["0123456789abcde", "0123456 89abcdefg", "0123456789abcdeä"]) {
        for (const exit of Object.values(yield* readToken(bad))) {
          assert.strictEqual(exit._tag, "Failure", bad)
          assert.include(JSON.stringify(exit), "at least 16")
          assert.notInclude(JSON.stringify(exit), bad)
        }
      }
    })
  )

  it.live("of 16 characters is accepted, from the file and from the variable, without the line's end", () =>
    Effect.gen(function* () {
      const { fromFile, fromVariable } = yield* readToken(token)
      assert.strictEqual(fromVariable._tag, "Success")
      assert.isTrue(fromFile._tag === "Success" && fromFile.value.accepts(token))
      const withNewline = (yield* readToken(`${token}\n`)).fromFile
      assert.isTrue(withNewline._tag === "Success" && withNewline.value.accepts(token))
    })
  )
})
