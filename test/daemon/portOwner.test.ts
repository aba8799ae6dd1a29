import type * as http from "node:http"
import * as net from "node:net"
import { NodeServices } from "@effect/platform-node"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Layer } from "effect"
import { checkPort } from "../../src/daemon/Daemon.ts"
import { boundUrl } from "../../src/daemon/DaemonAddress.ts"
import { hivePool } from "../../src/http/hivePool.ts"
import { Paths } from "../../src/settings/Paths.ts"
import { Settings } from "../../src/settings/Settings.ts"
import { PidFile } from "../../src/system/PidFile.ts"
import { Pids } from "../../src/system/Pids.ts"
import { FakeHive } from "../../src/testing/FakeHive.ts"
import { startDaemon } from "../support/daemon.ts"
import { temporaryHome, withHive } from "../support/hive.ts"
import { QueenClient, withQueen } from "../support/queen.ts"

const other = "or choose another port with --port of 'serve', or with the setting queen.port or hive.port"

/** What a daemon of another home says that should listen at this address. */
const refusalAt = Effect.fnUntraced(function* (url: string) {
  const { hostname, port } = new URL(url)
  const home = yield* temporaryHome
  const refused = yield* Effect.flip(checkPort({ host: hostname, port: Number(port) })).pipe(
    Effect.provide(
      Layer.mergeAll(hivePool, PidFile.layer.pipe(Layer.provide(Pids.layer))).pipe(
        Layer.provideMerge([Settings.layerDefaults(), Paths.layerAt(home)]),
        Layer.provideMerge(NodeServices.layer)
      )
    )
  )
  const start = `Port ${port} on ${hostname} is in use by `
  assert.isTrue(refused.message.startsWith(start), refused.message)
  return refused.message.slice(start.length)
})

const answering = (pages: Readonly<Record<string, string>>) =>
  FakeHive.makeRaw((request: http.IncomingMessage, response: http.ServerResponse) => {
    const page = pages[request.url ?? ""]
    response.writeHead(page === undefined ? 404 : 200).end(page)
  })

describe("the program that has a port", () => {
  it.live("is named as the queen or a hive of another rbee, with a command that stops it", () =>
    Effect.gen(function* () {
      const stop = `stop it where it was started, or with 'kill ${process.pid}', ${other}`
      const version = `version 0.1.0, process ${process.pid}`
      yield* withQueen(
        Effect.gen(function* () {
          const { url } = yield* QueenClient
          assert.strictEqual(yield* refusalAt(url), `the queen of another rbee (${version}); ${stop}`)
        })
      )
      yield* withHive(
        Effect.gen(function* () {
          assert.strictEqual(
            yield* refusalAt(yield* boundUrl),
            `a hive of another rbee (${version}); ${stop}`
          )
        })
      )
    }).pipe(Effect.scoped)
  )

  it.live("is named as an rbee although its token is not known", () =>
    Effect.gen(function* () {
      const { url } = yield* startDaemon({ token: "of somebody else, long enough" })
      assert.strictEqual(
        yield* refusalAt(url),
        `a daemon of another rbee, which requires its token; stop it where it was started, ${other}`
      )
    }).pipe(Effect.scoped)
  )

  it.live("is named as an older rbee", () =>
    Effect.gen(function* () {
      const version = yield* answering({ "/v1/build-info": `{"name":"rbee-queen","version":"0.0.9"}` })
      assert.include(
        yield* refusalAt(version.url),
        "the queen of another rbee (version 0.0.9); stop it where it was started, or choose"
      )
      const hive = yield* answering({ "/health": "ok", "/capabilities": `{"devices":[]}` })
      assert.include(yield* refusalAt(hive.url), "a hive of an older rbee; stop it where")
      const unclear = yield* answering({ "/health": "ok" })
      assert.include(yield* refusalAt(unclear.url), "answers /health like an older rbee; stop it where")
    }).pipe(Effect.scoped)
  )

  it.live("is said not to be rbee", () =>
    Effect.gen(function* () {
      for (const pages of [
        {},
        { "/health": "healthy" },
        { "/v1/build-info": `{"name":"grafana","version":"1"}` },
        { "/v1/build-info": `{"name":"queen"}`, "/health": "{}" }
      ]) {
        const { url } = yield* answering(pages)
        assert.strictEqual(yield* refusalAt(url), `a program that is not rbee; stop it, ${other}`)
      }
    }).pipe(Effect.scoped)
  )

  it.live("is not waited for when it answers nothing, something else than HTTP, or without end", () =>
    Effect.gen(function* () {
      for (const answer of [
        () => {},
        (socket: net.Socket) => socket.write("SSH-2.0-OpenSSH_9.6\r\n"),
        (socket: net.Socket) => socket.destroy(),
        (socket: net.Socket) => {
          socket.write("HTTP/1.1 200 OK\r\n\r\n")
          const flood = () => {
            while (!socket.destroyed && socket.write("x".repeat(65_536))) continue
          }
          socket.on("drain", flood)
          flood()
        }
      ]) {
        const server = yield* Effect.acquireRelease(
          Effect.callback<net.Server>((resume) => {
            const server = net.createServer((socket) => {
              socket.on("error", () => {})
              answer(socket)
            })
            server.listen(0, "127.0.0.1", () => resume(Effect.succeed(server)))
          }),
          (server) => Effect.sync(() => server.close())
        )
        const address = server.address()
        const port = typeof address === "object" ? address?.port : undefined
        const startedAt = performance.now()
        assert.strictEqual(
          yield* refusalAt(`http://127.0.0.1:${port}`),
          `a program that does not respond like rbee; stop it, ${other}`
        )
        assert.isBelow(performance.now() - startedAt, 5_000)
      }
    }).pipe(Effect.scoped)
  )
})
