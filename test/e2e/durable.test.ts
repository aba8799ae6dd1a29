import * as fs from "node:fs"
import * as http from "node:http"
import type { AddressInfo } from "node:net"
import * as path from "node:path"
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { ask } from "../support/daemon.ts"
import { freePort } from "../support/ports.ts"
import { temporaryFolder } from "../support/rbee.ts"
import { startRbee } from "../support/rbeeDaemon.ts"

const tokens = 120
const tokenMillis = 25

const frame = (id: number) =>
  id <= tokens
    ? `id: ${id}\nevent: token\ndata: {"text":"${id} "}\n\n`
    : `id: ${id}\nevent: done\ndata: {"queued_ms":0,"run_ms":0}\n\n`

/** A hive that does one job: a token every 25 ms from the submission on, whoever reads them. */
const hive = Effect.acquireRelease(
  Effect.callback<{ readonly url: string; readonly submissions: () => number; readonly close: () => void }>(
    (resume) => {
      let submissions = 0
      let startedAt = 0
      const written = () => Math.min(tokens + 1, Math.floor((Date.now() - startedAt) / tokenMillis))
      const server = http.createServer((request, response) => {
        const url = new URL(request.url ?? "/", "http://hive")
        if (request.method === "POST" && url.pathname === "/v1/jobs") {
          submissions++
          startedAt = Date.now()
          request.resume()
          return response.setHeader("content-type", "application/json").end(`{"job_id":"job-1"}`)
        }
        if (url.pathname !== "/v1/jobs/job-1/events") return response.writeHead(404).end()
        let after = Number(url.searchParams.get("after"))
        response.writeHead(200, { "content-type": "text/event-stream" }).flushHeaders()
        const timer = setInterval(() => {
          while (after < written()) response.write(frame(++after))
          if (after > tokens) response.end()
        }, tokenMillis)
        return response.on("close", () => clearInterval(timer))
      })
      server.listen(0, "127.0.0.1", () => {
        const { port } = server.address() as AddressInfo
        const close = () => {
          server.close()
          server.closeAllConnections()
        }
        resume(Effect.succeed({ url: `http://127.0.0.1:${port}`, submissions: () => submissions, close }))
      })
    }
  ),
  ({ close }) => Effect.sync(close)
)

const startQueen = (home: string, port: number) => startRbee(home, ["queen", "serve", "--port", String(port)])

interface Event {
  readonly id: number
  readonly kind: string
  readonly data: string
}

/** Reads a job's events after one, until `count` of them came, the job ended, or the queen died. */
const read = (url: string, job: string, after: number, count = Number.POSITIVE_INFINITY) =>
  Effect.promise(async () => {
    const events: Array<Event> = []
    const response = await fetch(`${url}/v1/jobs/${job}/events`, {
      headers: { "last-event-id": String(after) }
    })
    let text = ""
    for await (const bytes of response.body ?? []) {
      text += Buffer.from(bytes).toString()
      const frames = text.split("\n\n")
      text = frames.pop() ?? ""
      for (const one of frames) {
        const [, id, kind = "", data = ""] = /^id: (\d+)\nevent: (\w+)\ndata: (.*)$/.exec(one) ?? []
        if (id !== undefined) events.push({ id: Number(id), kind, data })
      }
      if (events.length >= count) break
    }
    return events
  })

describe("a queen that is killed with -9 in the middle of a stream", () => {
  it.live(
    "continues the hive's job: each token comes once, in order, to a follower that resumes",
    () =>
      Effect.gen(function* () {
        const home = yield* temporaryFolder
        const port = yield* freePort
        const { submissions, url: hiveUrl } = yield* hive
        fs.mkdirSync(path.join(home, "config"))
        fs.writeFileSync(
          path.join(home, "config", "hives.conf"),
          `Host far\n  HostName 127.0.0.1\n  User x\n  HivePort ${new URL(hiveUrl).port}\n`
        )
        const body = JSON.stringify({
          operation: "infer",
          hive_id: "far",
          model: "m",
          prompt: "p",
          max_tokens: tokens,
          temperature: 0
        })
        const submit = (url: string) =>
          Effect.map(
            ask(url, { method: "POST", path: "/v1/jobs", body, headers: { "idempotency-key": "once" } }),
            ({ text }): string => JSON.parse(text).job_id
          )
        let queen = yield* startQueen(home, port)
        const job = yield* submit(queen.url)
        const events: Array<Event> = []
        for (let kill = 0; kill < 2; kill++) {
          events.push(...(yield* read(queen.url, job, events.at(-1)?.id ?? 0, 10)))
          yield* queen.kill
          queen = yield* startQueen(home, port)
          assert.strictEqual(yield* submit(queen.url), job)
        }
        events.push(...(yield* read(queen.url, job, events.at(-1)?.id ?? 0)))
        assert.deepStrictEqual(
          events.map(({ id }) => id),
          events.map((_, index) => index + 1)
        )
        const text = events.filter(({ kind }) => kind === "token").map(({ data }) => JSON.parse(data).text)
        assert.strictEqual(text.join(""), Array.from({ length: tokens }, (_, i) => `${i + 1} `).join(""))
        assert.strictEqual(events.at(-1)?.kind, "done")
        assert.strictEqual(submissions(), 1)
        yield* queen.kill
        const last = yield* startQueen(home, port)
        assert.deepStrictEqual(yield* read(last.url, job, 0), events)
      }).pipe(Effect.scoped),
    60_000
  )
})
