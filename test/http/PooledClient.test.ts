import { NodeHttpClient } from "@effect/platform-node"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Fiber, Stream } from "effect"
import { HttpClientRequest } from "effect/http"
import { TestClock } from "effect/testing"
import { makePooledClient } from "../../src/http/PooledClient.ts"
import { FakeHive } from "../../src/testing/FakeHive.ts"
import { until } from "../support/until.ts"

const client = Effect.flatMap(NodeHttpClient.makeDispatcher, (dispatcher) => makePooledClient(dispatcher))

const piece = Buffer.alloc(64 * 1024, "x")

describe("the pooled client", () => {
  it.live("gives a body in each of its forms, and the error of one that has another", () =>
    Effect.gen(function* () {
      const server = yield* FakeHive.makeRaw((request, response, body) => {
        response.setHeader("x-body", body)
        response.setHeader("set-cookie", ["a=1", "b=2"])
        response.statusCode = 201
        response.end(request.url === "/json" ? `{"ä":1}` : "a=1&b=%C3%A4")
      })
      const http = yield* client
      const get = (path: string) => http.get(`${server.url}${path}`)
      const answer = yield* http.post(`${server.url}/json`, {
        body: HttpClientRequest.bodyText(HttpClientRequest.empty, "hello").body
      })
      assert.deepStrictEqual([answer.status, answer.headers["x-body"]], [201, "hello"])
      assert.deepStrictEqual(Object.keys(answer.cookies.cookies), ["a", "b"])
      assert.deepStrictEqual(yield* answer.json, { ä: 1 })
      assert.strictEqual(yield* Effect.flatMap(get("/json"), ({ text }) => text), `{"ä":1}`)
      const bytes = yield* Effect.flatMap(get("/json"), ({ arrayBuffer }) => arrayBuffer)
      assert.strictEqual(Buffer.from(bytes).toString(), `{"ä":1}`)
      const pairs = yield* Effect.flatMap(get("/form"), ({ urlParamsBody }) => urlParamsBody)
      assert.deepStrictEqual(pairs.params, [
        ["a", "1"],
        ["b", "ä"]
      ])
      const error = yield* Effect.flip(Effect.flatMap(get("/form"), ({ json }) => json))
      assert.strictEqual(error.reason._tag, "DecodeError")
      const stream = HttpClientRequest.post(server.url, {}).pipe(
        HttpClientRequest.bodyStream(Stream.make(piece))
      )
      assert.include((yield* Effect.flip(http.execute(stream))).message, "the body is no text")
      assert.strictEqual((yield* Effect.flip(http.get("http://:"))).reason._tag, "InvalidUrlError")
    })
  )

  it.live("uses its connections again, request after request, also where the body comes in many pieces", () =>
    Effect.gen(function* () {
      const server = yield* FakeHive.makeRaw((_, response) => {
        for (let i = 0; i < 40; i++) response.write(piece)
        response.end()
      })
      const http = yield* client
      for (let i = 0; i < 5; i++) {
        const { stream } = yield* http.get(server.url)
        const length = yield* Stream.runFold(
          stream,
          () => 0,
          (sum, chunk) => sum + chunk.length
        )
        assert.strictEqual(length, 40 * piece.length)
      }
      // The next one may come before the one that has just ended is free.
      assert.isAtMost(server.connections(), 2)
    })
  )

  it.live("has a server wait whose body is read slowly", () =>
    Effect.gen(function* () {
      let sent = 0
      const server = yield* FakeHive.makeRaw((_, response) => {
        const more = () => {
          while (sent < 2000) {
            sent++
            if (!response.write(piece)) return void response.once("drain", more)
          }
          response.end()
        }
        more()
      })
      const http = yield* client
      const { stream } = yield* http.get(server.url)
      yield* Effect.scoped(
        Effect.gen(function* () {
          const pull = yield* Stream.toPull(stream)
          let taken = (yield* pull).length
          // The sockets between them hold some megabytes, and then nothing moves any more.
          let before = -1
          yield* until(
            Effect.sync(() => {
              const moved = sent - before
              before = sent
              return moved
            }),
            (moved) => moved === 0
          )
          assert.isBelow(sent, 400)
          while (taken < 1000) taken += (yield* pull).length
          assert.isAbove(sent, before)
        })
      )
    })
  )

  it.live("gives no piece that is empty when it goes on after a pause", () =>
    Effect.gen(function* () {
      let write: (text: string) => void = () => {}
      const server = yield* FakeHive.makeRaw((_, response) => {
        response.setHeader("content-length", 10)
        write = (text) => void response.write(text)
        write("0")
      })
      // Each piece is more than may wait.
      const http = yield* Effect.flatMap(NodeHttpClient.makeDispatcher, (dispatcher) =>
        makePooledClient(dispatcher, 1)
      )
      const { stream } = yield* http.get(server.url)
      let next = 0
      const pieces = yield* stream.pipe(
        Stream.tap(() => Effect.sync(() => write(String(++next)))),
        Stream.take(5),
        Stream.runCollect
      )
      assert.match(Buffer.concat(pieces).toString(), /^01234/)
      assert.isTrue(pieces.every(({ length }) => length > 0))
    })
  )

  it.live("closes the connection of who leaves, before the answer and in the middle of it", () =>
    Effect.gen(function* () {
      let closed = 0
      const server = yield* FakeHive.makeRaw((request, response) => {
        response.on("close", () => closed++)
        if (request.url === "/body") response.write("a")
      })
      const http = yield* client
      const waiting = yield* Effect.forkChild(http.get(`${server.url}/silent`))
      yield* server.seen("GET", "/silent")
      yield* Fiber.interrupt(waiting)
      yield* until(
        Effect.sync(() => closed),
        (closed) => closed === 1
      )
      const { stream } = yield* http.get(`${server.url}/body`)
      assert.strictEqual((yield* Stream.runCollect(Stream.take(stream, 1))).length, 1)
      yield* until(
        Effect.sync(() => closed),
        (closed) => closed === 2
      )
      const again = yield* Effect.exit(Stream.runDrain(stream))
      assert.isTrue(again._tag === "Failure")
    })
  )

  it.effect("gives up the connection of an answer that nobody begins to read", () =>
    Effect.gen(function* () {
      let closed = 0
      const server = yield* FakeHive.makeRaw((_, response) => {
        response.on("close", () => closed++)
        response.write("a")
      })
      const http = yield* client
      const { stream } = yield* http.get(server.url)
      yield* TestClock.adjust("9 seconds")
      assert.strictEqual(closed, 0)
      yield* TestClock.adjust("6 seconds")
      const error = yield* Effect.flip(Stream.runDrain(stream))
      assert.strictEqual(error.reason._tag, "DecodeError")
    })
  )
})
