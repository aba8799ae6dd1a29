import { NodeServices } from "@effect/platform-node"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Layer, Redacted, Schema } from "effect"
import { Fetcher } from "../../../src/hive/download/Fetcher.ts"
import { isPrivateAddress } from "../../../src/hive/download/PrivateAddress.ts"
import { Settings } from "../../../src/settings/Settings.ts"
import { server } from "../../support/fileServer.ts"

const layer = (privateHosts: ReadonlyArray<string> = []) =>
  Fetcher.layerNoDeps.pipe(
    Layer.provide(Settings.layerDefaults({ models: { privateHosts } })),
    Layer.provideMerge(NodeServices.layer)
  )

const Answer = Schema.Struct({ ok: Schema.Boolean })
const json = (url: string, mayBePrivate = true, token?: string) =>
  Fetcher.use((fetcher) =>
    fetcher.json(
      { url, access: { mayBePrivate, token: token === undefined ? undefined : Redacted.make(token) } },
      Answer
    )
  )

const answers = server((_request, response) => void response.end('{"ok":true}'))

describe("private addresses", () => {
  it("recognizes addresses that only this machine or its network can reach", () => {
    for (const address of [
      "127.0.0.1",
      "10.1.2.3",
      "172.16.0.1",
      "192.168.1.1",
      "169.254.169.254",
      "100.64.0.1",
      "0.0.0.0",
      "224.0.0.1",
      "255.255.255.255",
      "::1",
      "::",
      "::ffff:127.0.0.1",
      "::ffff:10.0.0.1",
      "fe80::1",
      "fd00::1",
      "64:ff9b::7f00:1",
      "64:ff9b:1::a00:1",
      "64:ff9b:1:ffff::1",
      "::ffff:0:a00:1",
      "::ffff:0:8.8.8.8",
      "2001::1",
      "2001:0:4136:e378:8000:63bf:3fff:fdd2",
      "fec0::1",
      "feff::1",
      "::ffff:192.168.0.1",
      "::ffff:169.254.169.254",
      "::ffff:a9fe:a9fe",
      "fe80::1%lo"
    ]) {
      assert.isTrue(isPrivateAddress(address), address)
    }
    for (const address of [
      "1.1.1.1",
      "172.32.0.1",
      "2606:4700::1111",
      "2001:4860::8888",
      "64:ff9c::1",
      "::ffff:1.1.1.1"
    ]) {
      assert.isFalse(isPrivateAddress(address), address)
    }
  })
})

describe("Fetcher", () => {
  it.live("reads JSON, and rejects invalid and too long responses", () =>
    Effect.gen(function* () {
      const good = yield* answers
      assert.deepStrictEqual(yield* json(good.url), { ok: true })
      const bad = yield* server((_request, response) => void response.end("<html>"))
      assert.strictEqual((yield* Effect.flip(json(bad.url)))._tag, "InvalidAnswer")
      const long = yield* server((_request, response) => void response.end(" ".repeat(9_000_000)))
      assert.include((yield* Effect.flip(json(long.url))).message, "over 8000000 bytes")
    }).pipe(Effect.provide(layer()))
  )

  it.live("rejects private addresses: literal, by name, and after a redirect", () =>
    Effect.gen(function* () {
      const { port, seen, url } = yield* answers
      for (const host of ["127.0.0.1", "[::1]", "localhost", "[::ffff:127.0.0.1]", "2130706433", "0x7f.1"]) {
        const error = yield* Effect.flip(json(`http://${host}:${port}/x?key=secret`, false))
        assert.strictEqual(error._tag, "PrivateAddress", host)
        assert.notInclude(error.message, "secret")
      }
      assert.strictEqual(seen.length, 0)
      const redirects = yield* server(
        (_request, response) => void response.writeHead(302, { location: url }).end()
      )
      const allowed = layer([`127.0.0.1:${redirects.port}`])
      const error = yield* Effect.flip(Effect.provide(json(redirects.url, false), allowed))
      assert.strictEqual(error._tag, "PrivateAddress")
      assert.strictEqual(seen.length, 0)
    }).pipe(Effect.provide(layer()))
  )

  it.live("retries a few times when a server is rate-limited", () =>
    Effect.gen(function* () {
      let refusals = 0
      const busy = (times: number, retryAfter: string) =>
        server((_request, response) => {
          if (refusals++ < times) return void response.writeHead(429, { "retry-after": retryAfter }).end()
          response.end('{"ok":true}')
        })
      for (const [times, retryAfter, requests] of [
        [2, "0", 3],
        [3, new Date(0).toUTCString(), 4]
      ] as const) {
        refusals = 0
        const { seen, url } = yield* busy(times, retryAfter)
        assert.deepStrictEqual(yield* json(url), { ok: true })
        assert.strictEqual(seen.length, requests)
      }
      for (const [retryAfter, requests] of [
        ["0", 4],
        ["61", 1],
        ["86400", 1]
      ] as const) {
        refusals = 0
        const { seen, url } = yield* busy(99, retryAfter)
        const error = yield* Effect.flip(json(url))
        assert.deepStrictEqual([error._tag, seen.length], ["RateLimited", requests])
      }
    }).pipe(Effect.provide(layer()))
  )

  it.live("accepts private hosts that the owner has listed", () =>
    Effect.gen(function* () {
      const { port } = yield* answers
      const listed = layer([`localhost:${port}`])
      assert.deepStrictEqual(yield* Effect.provide(json(`http://localhost:${port}/`, false), listed), {
        ok: true
      })
    })
  )

  it.live("follows redirects, sends the token to the first origin only, and stops in a circle", () =>
    Effect.gen(function* () {
      const cdn = yield* answers
      const hub = yield* server((request, response) => {
        const location = request.url === "/a" ? "/b" : request.url === "/circle" ? "/circle" : cdn.url
        response.writeHead(307, { location }).end("moved")
      })
      yield* json(`${hub.url}/a`, true, "hf_secret")
      assert.deepStrictEqual(
        [...hub.seen, ...cdn.seen].map(({ authorization }) => authorization),
        ["Bearer hf_secret", "Bearer hf_secret", undefined]
      )
      assert.strictEqual((yield* Effect.flip(json(`${hub.url}/circle`)))._tag, "TooManyRedirects")
    }).pipe(Effect.provide(layer()))
  )

  it.live("distinguishes refused, unresolved and broken connections", () =>
    Effect.gen(function* () {
      const gone = yield* Effect.scoped(Effect.map(answers, ({ url }) => url))
      assert.include((yield* Effect.flip(json(gone))).message, "connection refused")
      assert.include(
        (yield* Effect.flip(json("http://no-such-host.invalid/"))).message,
        "could not be resolved"
      )
      const cut = yield* server((_request, response) => {
        response.writeHead(200, { "content-length": 100 })
        response.write("{", () => response.destroy())
      })
      assert.strictEqual((yield* Effect.flip(json(cut.url)))._tag, "DownloadInterrupted")
    }).pipe(Effect.provide(layer()))
  )
})
