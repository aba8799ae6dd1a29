import { createServer } from "node:http"
import type { AddressInfo, Socket } from "node:net"
import { NodeServices } from "@effect/platform-node"
import { assert, describe, it } from "@effect/vitest"
import { ConfigProvider, Effect, Layer, Schema } from "effect"
import { Fetcher } from "../../../src/hive/download/Fetcher.ts"
import { Settings } from "../../../src/settings/Settings.ts"
import { server } from "../../support/fileServer.ts"

/** A proxy that answers plain requests itself and refuses tunnels, and what it was asked for. */
const startProxy = Effect.map(
  Effect.acquireRelease(
    Effect.promise(async () => {
      const asked: Array<string> = []
      const sockets = new Set<Socket>()
      const proxy = createServer((request, response) => {
        asked.push(`${request.method} ${request.url} ${request.headers["proxy-authorization"] ?? ""}`.trim())
        response.end('{"ok":true}')
      })
      proxy.on("connection", (socket) => sockets.add(socket))
      proxy.on("connect", (request, client: Socket) => {
        asked.push(`CONNECT ${request.url}`)
        client.end("HTTP/1.1 502 Bad Gateway\r\n\r\n")
      })
      await new Promise<void>((done) => proxy.listen(0, "127.0.0.1", done))
      return { asked, proxy, sockets }
    }),
    ({ proxy, sockets }) =>
      Effect.sync(() => {
        for (const socket of sockets) socket.destroy()
        proxy.close()
      })
  ),
  ({ asked, proxy }) => {
    const address: AddressInfo | string | null = proxy.address()
    const at = address !== null && typeof address === "object" ? address.port : 0
    return { asked, url: `http://127.0.0.1:${at}`, host: `127.0.0.1:${at}` }
  }
)

const Answer = Schema.Struct({ ok: Schema.Boolean })

const fetchJson = (url: string, env: Readonly<Record<string, string>>, mayBePrivate = false) =>
  Fetcher.use((fetcher) => fetcher.json({ url, access: { mayBePrivate } }, Answer)).pipe(
    Effect.provide(
      Fetcher.layerNoDeps.pipe(
        Layer.provide(Settings.layerDefaults({ timeouts: {} })),
        Layer.provide(NodeServices.layer),
        Layer.fresh
      )
    ),
    Effect.provideService(ConfigProvider.ConfigProvider, ConfigProvider.fromEnv({ env })),
    Effect.result
  )

// Names that no resolver knows: only a proxy can reach them.
const plain = "http://models.invalid/api"
const secure = "https://models.invalid/api"

describe("downloads", () => {
  it.live("use HTTP_PROXY and HTTPS_PROXY, in either case", () =>
    Effect.gen(function* () {
      for (const spell of [(name: string) => name, (name: string) => name.toLowerCase()]) {
        const proxy = yield* startProxy
        const got = yield* fetchJson(plain, { [spell("HTTP_PROXY")]: proxy.url })
        assert.strictEqual(got._tag, "Success")
        const refused = yield* Effect.flip(
          Effect.flatMap(fetchJson(secure, { [spell("HTTPS_PROXY")]: proxy.url }), Effect.fromResult)
        )
        assert.strictEqual(refused._tag, "DownloadInterrupted")
        assert.include(refused.message, `the proxy answered 502 (through the proxy ${proxy.host})`)
        assert.deepStrictEqual(proxy.asked, ["GET http://models.invalid/api", "CONNECT models.invalid:443"])
      }
    })
  )

  it.live("send the proxy's credentials to the proxy only, and never show them", () =>
    Effect.gen(function* () {
      const proxy = yield* startProxy
      const url = proxy.url.replace("//", "//me:secret@")
      yield* fetchJson(plain, { HTTP_PROXY: url })
      assert.deepStrictEqual(proxy.asked, [
        `GET http://models.invalid/api Basic ${Buffer.from("me:secret").toString("base64")}`
      ])
      const gone = yield* Effect.flip(
        Effect.flatMap(fetchJson(plain, { HTTP_PROXY: "http://me:secret@127.0.0.1:1" }), Effect.fromResult)
      )
      assert.include(gone.message, "through the proxy 127.0.0.1:1")
      assert.notInclude(gone.message, "secret")
    })
  )

  it.live("bypass the proxy for the hosts of NO_PROXY and for this machine", () =>
    Effect.gen(function* () {
      const proxy = yield* startProxy
      const files = yield* server((_request, response) => void response.end('{"ok":true}'))
      const env = { HTTP_PROXY: proxy.url, HTTPS_PROXY: proxy.url }
      for (const except of ["models.invalid", ".invalid", "other, models.invalid", "*"]) {
        for (const name of ["NO_PROXY", "no_proxy"]) {
          const error = yield* Effect.flip(
            Effect.flatMap(fetchJson(plain, { ...env, [name]: except }), Effect.fromResult)
          )
          assert.include(error.message, "could not be resolved", except)
        }
      }
      for (const host of ["127.0.0.1", "localhost"]) {
        const got = yield* fetchJson(`http://${host}:${files.port}/`, env, true)
        assert.strictEqual(got._tag, "Success", host)
      }
      assert.deepStrictEqual(proxy.asked, [])
      assert.strictEqual(files.seen.length, 2)
    })
  )

  it.live("reject private addresses also through a proxy, and after redirects", () =>
    Effect.gen(function* () {
      const proxy = yield* startProxy
      const env = { HTTP_PROXY: proxy.url, HTTPS_PROXY: proxy.url }
      for (const host of [
        "10.0.0.1",
        "169.254.169.254",
        "[fd00::1]",
        "localhost",
        "127.0.0.1",
        "[::ffff:10.0.0.1]"
      ]) {
        const error = yield* Effect.flip(
          Effect.flatMap(fetchJson(`http://${host}/x`, env), Effect.fromResult)
        )
        assert.strictEqual(error._tag, "PrivateAddress", host)
      }
      assert.deepStrictEqual(proxy.asked, [])
      // What redirects is the proxy's answer here; the next hop is checked and proxied like the first.
      const redirecting = yield* server((request, response) => {
        const location = (request.url ?? "").includes("first")
          ? "http://models.invalid/second"
          : "http://10.0.0.1/"
        response.writeHead(302, { location }).end()
      })
      const error = yield* Effect.flip(
        Effect.flatMap(
          fetchJson("http://models.invalid/first", { HTTP_PROXY: redirecting.url }),
          Effect.fromResult
        )
      )
      assert.strictEqual(error._tag, "PrivateAddress")
      assert.deepStrictEqual(
        redirecting.seen.map(({ url }) => url),
        ["http://models.invalid/first", "http://models.invalid/second"]
      )
    })
  )

  it.live("ignore a proxy with an invalid address", () =>
    Effect.gen(function* () {
      const error = yield* Effect.flip(
        Effect.flatMap(fetchJson(plain, { HTTP_PROXY: "ftp://x", HTTPS_PROXY: "::" }), Effect.fromResult)
      )
      assert.include(error.message, "could not be resolved")
    })
  )
})
