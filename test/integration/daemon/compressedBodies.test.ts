import * as zlib from "node:zlib"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Stream } from "effect"
import { JobEvent } from "../../../src/job/log/JobEvent.ts"
import { ask, startDaemon } from "../../support/daemon.ts"
import { startGateway } from "../../support/gateway.ts"
import type { StreamWork } from "../../support/jobs.ts"

type Encode = (body: Buffer) => Buffer

const encoders: Readonly<Record<string, Encode>> = {
  identity: (body) => body,
  gzip: (body) => zlib.gzipSync(body),
  "x-gzip": (body) => zlib.gzipSync(body),
  GZIP: (body) => zlib.gzipSync(body),
  deflate: (body) => zlib.deflateSync(body),
  br: (body) => zlib.brotliCompressSync(body),
  zstd: (body) => zlib.zstdCompressSync(body),
  "gzip, zstd": (body) => zlib.zstdCompressSync(zlib.gzipSync(body)),
  "identity, br": (body) => zlib.brotliCompressSync(body)
}

const answer: StreamWork = () =>
  Stream.fromIterable([
    new JobEvent("chunk", JSON.stringify({ choices: [{ index: 0, delta: { content: "Hi" } }] })),
    new JobEvent("chunk", JSON.stringify({ choices: [{ index: 0, delta: {}, finish_reason: "stop" }] }))
  ])

const post = (url: string, path: string, coding: string, body: Buffer, headers = {}) =>
  ask(url, { method: "POST", path, body, headers: { "content-encoding": coding, ...headers } })

const message = { role: "user", content: "Grüße, 世界" }
const requests: Readonly<Record<string, object>> = {
  "/v1/chat/completions": { model: "rbee:tiny", messages: [message] },
  "/v1/responses": { model: "rbee:tiny", input: [message] },
  "/v1/messages": { model: "rbee:tiny", max_tokens: 8, messages: [message] },
  "/api/chat": { model: "rbee:tiny", stream: false, messages: [message] }
}

const small = { settings: { limits: { bodyBytes: 4096 } } }

/** What each daemon answers with when a body is refused. */
const messageOf = (text: string): string => {
  const { error } = JSON.parse(text)
  return typeof error === "string" ? error : error.message
}

describe("request bodies with a content coding", () => {
  it.live("are decoded at every endpoint for applications", () =>
    Effect.gen(function* () {
      const seen: Array<unknown> = []
      const { url } = yield* startGateway({
        complete: ({ body }) => {
          seen.push(body["messages"])
          return answer
        }
      })
      for (const [path, body] of Object.entries(requests)) {
        for (const [coding, encode] of Object.entries(encoders)) {
          const { status, text } = yield* post(url, path, coding, encode(Buffer.from(JSON.stringify(body))))
          assert.strictEqual(status, 200, `${path} ${coding}: ${text}`)
          assert.deepStrictEqual(seen.pop(), [message], `${path} ${coding}`)
        }
      }
    })
  )

  it.live("are decoded for submitted operations, before their idempotency keys are compared", () =>
    Effect.gen(function* () {
      const { url } = yield* startDaemon({ works: { hive_list: () => () => Stream.empty } })
      const body = Buffer.from(JSON.stringify({ operation: "hive_list" }))
      const ids = new Set<string>()
      for (const [coding, encode] of Object.entries(encoders)) {
        const { status, text } = yield* post(url, "/v1/jobs", coding, encode(body), {
          "idempotency-key": "k"
        })
        assert.strictEqual(status, 200, `${coding}: ${text}`)
        ids.add(JSON.parse(text).job_id)
      }
      assert.strictEqual(ids.size, 1)
    })
  )

  it.live("are decoded if deflate data has no zlib header", () =>
    Effect.gen(function* () {
      const { url } = yield* startDaemon({ works: { hive_list: () => () => Stream.empty } })
      const body = Buffer.from(JSON.stringify({ operation: "hive_list" }))
      const { status } = yield* post(url, "/v1/jobs", "deflate", zlib.deflateRawSync(body))
      assert.strictEqual(status, 200)
    })
  )

  it.live("get 413 if they are too large after decoding, however small they are sent", () =>
    Effect.gen(function* () {
      const { url: jobs } = yield* startDaemon(small)
      const { url: gateway } = yield* startGateway(small)
      const bomb = Buffer.alloc(64_000_000, " ")
      for (const [coding, encode] of Object.entries(encoders)) {
        const sent = encode(coding === "gzip, zstd" ? bomb : bomb.subarray(0, 400_000))
        for (const [url, path] of [
          [jobs, "/v1/jobs"],
          [gateway, "/v1/responses"],
          [gateway, "/api/chat"]
        ] as const) {
          const { status, text } = yield* post(url, path, coding, sent)
          assert.strictEqual(status, 413, `${path} ${coding}: ${text}`)
          assert.include(messageOf(text), "limits.body_bytes")
        }
      }
    })
  )

  it.live("get 413 before their decoded bytes are kept in memory", () =>
    Effect.gen(function* () {
      const { url } = yield* startDaemon({})
      const bomb = zlib.gzipSync(Buffer.alloc(300_000_000), { level: 1 })
      let most = 0
      const before = process.memoryUsage().rss
      const watching = setInterval(() => {
        most = Math.max(most, process.memoryUsage().rss - before)
      }, 5)
      const { status } = yield* post(url, "/v1/jobs", "gzip", bomb)
      clearInterval(watching)
      assert.strictEqual(status, 413)
      assert.isBelow(most, 120_000_000)
    })
  )

  it.live("get 415 for an unknown coding, with the supported codings in the message", () =>
    Effect.gen(function* () {
      const { url: jobs } = yield* startDaemon({})
      const { url: gateway } = yield* startGateway({})
      const body = Buffer.from("{}")
      for (const coding of ["compress", "snappy", "gzip, aes128gcm", "gzip, gzip, gzip", "x".repeat(2000)]) {
        for (const [url, path] of [
          [jobs, "/v1/jobs"],
          [gateway, "/v1/messages"],
          [gateway, "/api/embed"]
        ] as const) {
          const { status, text } = yield* post(url, path, coding, body)
          assert.strictEqual(status, 415, `${path} ${coding}: ${text}`)
          assert.include(messageOf(text), "gzip, deflate, br, zstd")
          assert.isBelow(text.length, 500)
        }
      }
    })
  )

  it.live("get 400 if they are damaged, truncated or not compressed", () =>
    Effect.gen(function* () {
      const { url } = yield* startGateway({})
      const body = Buffer.from(JSON.stringify(requests["/v1/responses"]))
      for (const [coding, encode] of Object.entries(encoders)) {
        if (coding === "identity") continue
        const whole = encode(body)
        for (const broken of [body, whole.subarray(0, whole.length - 9), Buffer.alloc(0)]) {
          const { status, text } = yield* post(url, "/v1/responses", coding, broken)
          assert.strictEqual(status, 400, `${coding} ${broken.length}: ${text}`)
        }
      }
    })
  )
})
