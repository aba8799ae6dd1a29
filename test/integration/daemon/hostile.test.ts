import { assert, describe, it } from "@effect/vitest"
import { Effect, Exit, Scope, Stream } from "effect"
import { JobEvent } from "../../../src/job/log/JobEvent.ts"
import {
  ask,
  connect,
  inOwnScope,
  parseEvents,
  startDaemon,
  submitTo,
  type Works
} from "../../support/daemon.ts"
import { collectGarbage } from "../../support/garbage.ts"
import { Random } from "../../support/Random.ts"
import { until } from "../../support/until.ts"

const works: Works = {
  echo:
    ({ prompt }) =>
    () =>
      Stream.make(JobEvent.token(String(prompt))),
  wait: () => () => Stream.never
}

const start = startDaemon({ works, settings: { limits: { bodyBytes: 1_000_000, jobsKept: 50 } } })

const sockets = Effect.sync(
  () => process.getActiveResourcesInfo().filter((resource) => resource === "TCPSocketWrap").length
)

const isHealthy = Effect.fnUntraced(function* (url: string) {
  const health = yield* ask(url, { path: "/health" })
  assert.deepStrictEqual([health.status, health.text], [200, "ok"])
  const id = yield* submitTo(url, { operation: "echo", prompt: "still here" })
  const { text } = yield* ask(url, { path: `/v1/jobs/${id}/events` })
  assert.deepStrictEqual(
    parseEvents(text).map(({ kind }) => kind),
    ["narration", "token", "done"]
  )
})

const says = (text: string) => {
  assert.notMatch(text, /\bat .*:\d+|node_modules|\.ts\b|file:\/\/|\/work|\/home|\/src\//)
  return text
}

/** Sends bytes and gives all that comes back until the server closes. */
const exchange = (url: string, bytes: string) =>
  Effect.scoped(
    Effect.gen(function* () {
      const connection = yield* connect(url, bytes)
      yield* connection.until(({ closed }) => closed)
      return connection.received
    })
  )

const request = (line: string, headers = "", body = "") =>
  `${line} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n${headers}\r\n${body}`

describe("a request with an invalid id or path", () => {
  const ids = [
    "..",
    "../../etc/passwd",
    "..%2f..%2fetc%2fpasswd",
    "%2e%2e",
    "%00",
    "job-%00",
    "%zz",
    "%",
    "%ff%fe",
    "job-%0d%0aX: y",
    "__proto__",
    "constructor",
    "'; DROP TABLE jobs",
    "x".repeat(8000),
    "%F0%9D%84%9E",
    "job-\u00e4"
  ]

  it.live("gets a 4xx for an id without a job, at every endpoint", () =>
    Effect.gen(function* () {
      const { url } = yield* start
      for (const id of ids) {
        for (const [method, rest] of [
          ["GET", ""],
          ["DELETE", ""],
          ["GET", "/stream"],
          ["GET", "/events"],
          ["GET", "/events?after=1"],
          ["POST", ""],
          ["PUT", "/events"]
        ]) {
          const answer = yield* exchange(url, request(`${method} /v1/jobs/${id}${rest}`))
          assert.match(says(answer), /^HTTP\/1\.1 4\d\d /, `${method} ${id}${rest}`)
        }
      }
      yield* isHealthy(url)
    })
  )

  it.live("gets a 4xx for a malformed path or an unusual method, and the daemon keeps running", () =>
    Effect.gen(function* () {
      const { url } = yield* start
      for (const target of [
        "//",
        "///v1/jobs/x/stream",
        "http://[::1/v1/jobs/x/events",
        "http://a:b@c/v1/jobs/x/events",
        "/v1/jobs/x/events?after=%zz",
        "/?%",
        "/\\..\\x",
        "*",
        "x"
      ]) {
        const answer = yield* exchange(url, request(`GET ${target}`))
        assert.match(says(answer), /^HTTP\/1\.1 4\d\d /, target)
      }
      for (const method of ["TRACE", "OPTIONS", "PATCH", "HEAD", "PROPFIND"]) {
        const answer = yield* exchange(url, request(`${method} /v1/jobs/x`))
        assert.match(says(answer), /^HTTP\/1\.1 4\d\d /, method)
      }
      yield* isHealthy(url)
    })
  )
})

describe("a request with hostile headers or a hostile body", () => {
  it.live("gets a 4xx if they are malformed or exceed their limits", () =>
    Effect.gen(function* () {
      const { url } = yield* start
      const bad = [
        request("GET /v1/jobs", `X: ${"x".repeat(100_000)}\r\n`),
        request("GET /v1/jobs", "a: b\r\n".repeat(20_000)),
        request("GET /v1/jobs", "X: a\u0000b\r\n"),
        request("GET /v1/jobs", "Bad Header: x\r\n"),
        request("GET /v1/jobs", `Last-Event-ID: ${"9".repeat(400)}\r\n`).replace(
          "/v1/jobs",
          "/v1/jobs/x/events"
        ),
        request(`GET /${"x".repeat(100_000)}`),
        request("GET /v1/\u0000jobs"),
        request("POST /v1/jobs", "Content-Length: x\r\n", "{}"),
        request("POST /v1/jobs", "Content-Length: -1\r\n", "{}"),
        request("POST /v1/jobs", "Content-Length: 2\r\nContent-Length: 3\r\n", "{}x"),
        request("POST /v1/jobs", "Content-Length: 2\r\nTransfer-Encoding: chunked\r\n", "0\r\n\r\n"),
        request("POST /v1/jobs", "Transfer-Encoding: chunked\r\n", "zz\r\n{}\r\n0\r\n\r\n"),
        request("POST /v1/jobs", "Content-Length: 2\r\nIdempotency-Key: a b\r\n", "{}"),
        "GET /v1/jobs HTTP/1.1\r\n\r\n",
        "GET /v1/jobs HTTP/9.9\r\nHost: localhost\r\n\r\n",
        "\u0000\u0001\u0002\r\n\r\n",
        "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
      ]
      for (const bytes of bad) {
        assert.match(says(yield* exchange(url, bytes)), /^HTTP\/1\.1 [45]\d\d /, bytes.slice(0, 200))
        assert.notMatch(yield* exchange(url, bytes), /^HTTP\/1\.1 50[0-4]/, bytes.slice(0, 200))
      }
      yield* isHealthy(url)
    })
  )

  it.live("does not delay other clients if it never ends", () =>
    Effect.gen(function* () {
      const { url } = yield* start
      for (let i = 0; i < 50; i++) {
        yield* connect(url, request("POST /v1/jobs", "Content-Length: 1000\r\n", "{"))
        yield* connect(url, "GET /v1/jobs HTTP/1.1\r\nHost: loc")
      }
      yield* isHealthy(url)
    })
  )

  it.live("gets an answer for JSON of extreme depth, width and content", () =>
    Effect.gen(function* () {
      const { url } = yield* start
      for (const body of [
        "[".repeat(400_000),
        `{"operation":"echo","prompt":${"[".repeat(100_000)}${"]".repeat(100_000)}}`,
        `{"operation":"${"x".repeat(900_000)}"}`,
        `{"operation":"__proto__"}`,
        `{"operation":"constructor"}`,
        `{"__proto__":{"operation":"echo"}}`,
        `{"operation":"echo","hive_id":{"a":1}}`,
        `{"operation":"echo","hive_id":"../x"}`,
        `\ufeff{"operation":"nothing"}`,
        `{"operation":"no\\u0000thing"}`,
        `{"operation":1e999}`
      ]) {
        const { status, text } = yield* ask(url, { method: "POST", path: "/v1/jobs", body })
        assert.include([200, 400], status, body.slice(0, 100))
        if (status === 400) assert.isBelow(says(text).length, 20_000)
      }
      yield* isHealthy(url)
    })
  )
})

const requests = 10_000
const jobCount = 500

describe("random requests", () => {
  const methods = ["GET", "POST", "DELETE", "PUT", "HEAD"] as const
  const parts = [
    "v1",
    "jobs",
    "stream",
    "events",
    "health",
    "..",
    "%2e",
    "%00",
    "%zz",
    "",
    "job-1",
    "capabilities"
  ] as const
  const names = [
    "Last-Event-ID",
    "Idempotency-Key",
    "Origin",
    "Host",
    "Content-Type",
    "Expect",
    "Range",
    "Cookie"
  ] as const
  const bodies = [
    "",
    "null",
    "{}",
    "[]",
    `{"operation":"echo","prompt":"x"}`,
    `{"operation":"wait"`,
    "\u0000"
  ] as const

  const randomRequest = (seed: number) => {
    const random = new Random(seed)
    const below = (limit: number) => random.whole(0, limit - 1)
    const bytes = (most: number) => Buffer.from(Array.from({ length: below(most) }, () => below(256)))
    const pick = <A>(items: ReadonlyArray<A>) => random.pick(items)
    const printable = () =>
      bytes(40)
        .toString("latin1")
        .replaceAll(/[^\u0021-\u007e]/g, "~")
    const path = Array.from({ length: below(6) }, () => (below(4) === 0 ? printable() : pick(parts))).join(
      "/"
    )
    const headers = Array.from({ length: below(4) }, () => {
      const value = below(2) === 0 ? String(below(1e6)) : bytes(30).toString("latin1")
      return `${pick(names)}: ${value}\r\n`
    }).join("")
    const body = below(2) === 0 ? pick(bodies) : bytes(200).toString("latin1")
    const submits = below(3) === 0
    const line = submits
      ? "POST /v1/jobs HTTP/1.1"
      : below(30) === 0
        ? bytes(60).toString("latin1")
        : `${pick(methods)} /${path} HTTP/1.1`
    const host = headers.includes("Host:") ? "" : "Host: localhost\r\n"
    const length = `Content-Length: ${below(20) === 0 ? below(1000) : body.length}\r\n`
    return `${line}\r\n${host}Connection: close\r\n${headers}${length}\r\n${body}`
  }

  it.live(
    "crash nothing, reveal nothing of the inside, and leave no socket behind: ten thousand",
    () =>
      Effect.gen(function* () {
        const before = yield* sockets
        const { scope, value } = yield* inOwnScope(start)
        const { jobs, url } = value
        const seen = new Map<string, number>()
        yield* Effect.forEach(
          Array.from({ length: requests }, (_, i) => i * 7919 + 1),
          Effect.fnUntraced(function* (seed) {
            const connection = yield* connect(url, randomRequest(seed))
            // The client has nothing more to say, so that a body that is too short ends here.
            connection.socket.end()
            yield* connection.until(({ closed }) => closed)
            const status = /^HTTP\/1\.1 (\d{3})/.exec(connection.received)?.[1] ?? "none"
            seen.set(status, (seen.get(status) ?? 0) + 1)
            if (status !== "200") says(connection.received)
            assert.notMatch(status, /^50/, randomRequest(seed))
          }, Effect.scoped),
          { concurrency: 20, discard: true }
        )
        for (const status of ["200", "400", "403", "404"]) assert.isAbove(seen.get(status) ?? 0, 10, status)
        yield* isHealthy(url)
        yield* until(sockets, (count) => count <= before)
        yield* until(jobs.list, (list) => list.every(({ state }) => state !== "running"))
        assert.isAtMost((yield* jobs.list).length, 51)
        yield* Scope.close(scope, Exit.void)
      }),
    120_000
  )
})

describe("the daemon keeps nothing", () => {
  it.live("of hundreds of jobs that were followed to the end or half way, and dropped", () =>
    Effect.gen(function* () {
      const { jobs, url } = yield* start
      const logs: Array<WeakRef<object>> = []
      const alive = Effect.sync(() => {
        collectGarbage()
        return logs.filter((log) => log.deref() !== undefined).length
      })
      yield* Effect.forEach(
        Array.from({ length: jobCount }, (_, i) => i),
        Effect.fnUntraced(function* (i) {
          const ends = i % 2 === 0
          const id = yield* submitTo(url, { operation: ends ? "echo" : "wait", prompt: "x".repeat(1000) })
          logs.push(new WeakRef((yield* jobs.follow(id)).log))
          const connection = yield* connect(
            url,
            request(`GET /v1/jobs/${id}/${i % 3 === 0 ? "stream" : "events"}`)
          )
          yield* connection.until(({ closed, received }) => (ends ? closed : received.includes("route_job")))
          connection.socket.destroy()
          if (!ends) yield* jobs.cancel(id)
        }, Effect.scoped),
        { concurrency: 20, discard: true }
      )
      assert.strictEqual(logs.length, jobCount)
      yield* until(alive, (count) => count <= 55)
      yield* until(sockets, (count) => count === 0)
    })
  )

  it.live("of followers that hang up at any moment, of cancels, and of a daemon that stopped", () =>
    Effect.gen(function* () {
      const resources = Effect.sync(
        () => process.getActiveResourcesInfo().filter((resource) => /TCP|Timeout|Pipe/.test(resource)).length
      )
      const before = yield* resources
      const { scope, value } = yield* inOwnScope(start)
      const { jobs, url } = value
      const whileIdle = yield* until(sockets, (count) => count === 0)
      const waiting = yield* submitTo(url, { operation: "wait" })
      yield* Effect.forEach(
        Array.from({ length: 500 }, (_, i) => i),
        Effect.fnUntraced(function* (i) {
          const id = i % 2 === 0 ? waiting : yield* submitTo(url, { operation: "wait" })
          const connection = yield* connect(
            url,
            request(`GET /v1/jobs/${id}/${i % 3 === 0 ? "stream" : "events"}`)
          )
          if (i % 5 !== 0) yield* connection.until(({ received }) => received.includes("route_job"))
          if (i % 4 === 0) connection.socket.resetAndDestroy()
          if (id !== waiting) {
            assert.strictEqual((yield* ask(url, { method: "DELETE", path: `/v1/jobs/${id}` })).status, 200)
          }
        }, Effect.scoped),
        { concurrency: 20, discard: true }
      )
      yield* until(sockets, (count) => count === whileIdle)
      assert.strictEqual((yield* jobs.get(waiting)).state, "running")
      yield* isHealthy(url)
      yield* Scope.close(scope, Exit.void)
      yield* until(resources, (count) => count <= before)
    })
  )
})
