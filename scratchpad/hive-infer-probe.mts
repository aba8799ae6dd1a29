import { createServer } from "node:http"
import { Worker, isMainThread } from "node:worker_threads"
import { spawn } from "node:child_process"
import { Effect, Layer, Stream } from "effect"
import { Settings } from "../src/config/Settings.ts"
import { WorkerClient } from "../src/hive/WorkerClient.ts"
import { workerPool } from "../src/hive/WorkerPool.ts"
import { NodeServices } from "@effect/platform-node"

const mode = process.argv[2]
if (mode === "serve") {
  const perWrite = Number(process.argv[3]), total = Number(process.argv[4]), gap = Number(process.argv[5])
  createServer((req, res) => {
    req.resume()
    res.writeHead(200, { "content-type": "text/event-stream" })
    let sent = 0
    const ev = `data: {"id":"cmpl-1","object":"text_completion","created":1,"model":"m","choices":[{"index":0,"text":" word","logprobs":null,"finish_reason":null}]}\n\n`
    const go = () => {
      res.write(ev.repeat(perWrite))
      sent += perWrite
      if (sent >= total) {
        res.end(`data: {"choices":[{"index":0,"text":"","finish_reason":"stop"}]}\n\ndata: [DONE]\n\n`)
      } else setTimeout(go, gap)
    }
    go()
  }).listen(0, "127.0.0.1", function () { console.log(this.address().port) })
} else {
  for (const [streams, perWrite, total, gap] of [[100, 1, 200, 10], [4, 64, 200_000, 0]]) {
    const child = spawn(process.execPath, [import.meta.filename, "serve", String(perWrite), String(total), String(gap)])
    const port = await new Promise((r) => child.stdout.once("data", (d) => r(Number(String(d)))))
    let n = 0
    const program = Effect.gen(function* () {
      const client = yield* WorkerClient
      const one = (i) => client.complete({ id: "w", port }, `r${i}`, { model: "m", prompt: "x", max_tokens: 1, temperature: 1, top_p: undefined, top_k: undefined }).pipe(
        Stream.runForEachArray((a) => Effect.sync(() => { n += a.length })))
      yield* one(0); n = 0
      const cpu = process.cpuUsage(); const t = Date.now()
      yield* Effect.forEach(Array.from({ length: streams }, (_, i) => i), one, { concurrency: "unbounded" })
      const used = process.cpuUsage(cpu)
      console.log({ streams, perWrite, n, ms: Date.now() - t, usPerToken: ((used.user + used.system) / n).toFixed(2) })
    }).pipe(Effect.provide(WorkerClient.layerNoDeps.pipe(Layer.provide(workerPool), Layer.provide(Settings.layerDefaults()), Layer.provide(NodeServices.layer))))
    await Effect.runPromise(program)
    child.kill()
  }
}
