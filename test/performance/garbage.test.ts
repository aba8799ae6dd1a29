import { spawn } from "node:child_process"
import { mkdirSync, writeFileSync } from "node:fs"
import * as http from "node:http"
import { join } from "node:path"
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import type { HiveInventory } from "../../src/operation/Inventory.ts"
import { daemonFlags, programFile } from "../../src/system/Program.ts"
import { FakeHive } from "../../src/testing/FakeHive.ts"
import { storedModel } from "../support/gateway.ts"
import { freePort } from "../support/ports.ts"
import { temporaryFolder } from "../support/rbee.ts"
import { until } from "../support/until.ts"

const model = "hf:fake/model:Q4_K_M"
const together = 4
const rounds = 500
/** Measured: 4.1, and 8.2 (when it was 4.6) with one generator function that is made for each request. */
const mostKilobytes = 6

const inventory: HiveInventory = {
  devices: [
    { id: "GPU-0", name: "fake", device_type: "gpu", total_bytes: 24e9, free_bytes: 8e9, usable: true }
  ],
  models: [storedModel(model)],
  workers: [
    {
      worker_id: "fake-1",
      state: "ready",
      model_id: model,
      engine: "llama-server",
      device: "gpu-0",
      slots: 64,
      busy: 0,
      context_size: 8192,
      memory_bytes: 20_000_000
    }
  ]
}

const chunk = JSON.stringify({
  id: "chatcmpl-1",
  object: "chat.completion.chunk",
  created: 1,
  model,
  choices: [{ index: 0, delta: { content: "word" }, finish_reason: "stop" }]
})
const events = `id: 1\nevent: chunk\ndata: ${chunk}\n\nid: 2\nevent: done\ndata: {"queued_ms":0,"run_ms":0}\n\n`

const answeringHive = FakeHive.makeRaw(({ method, url }, response) => {
  if (method === "POST") {
    response.writeHead(200, { "content-type": "text/event-stream", "x-rbee-job-id": "job-1" }).end(events)
    return
  }
  response.setHeader("content-type", "application/json")
  response.end(JSON.stringify(url === "/v1/inventory" ? inventory : { hive_id: "atlas", workers: [] }))
})

const body = JSON.stringify({
  model,
  stream: true,
  messages: [{ role: "user", content: "Tell me. ".repeat(50) }]
})

const ask = (port: number, agent: http.Agent) =>
  Effect.callback<string, Error>((resume) => {
    const headers = { "content-type": "application/json", "content-length": Buffer.byteLength(body) }
    const options = { agent, port, method: "POST", path: "/v1/chat/completions", headers }
    const fail = (error: Error) => resume(Effect.fail(error))
    http
      .request(options, (response) => {
        let text = ""
        response.on("data", (piece: Buffer) => {
          text += piece.toString()
        })
        response.on("end", () => resume(Effect.succeed(text))).on("error", fail)
      })
      .on("error", fail)
      .end(body)
  })

/** Runs a queen that knows the hive; gives what Node tells of its collections. */
const startQueen = Effect.fnUntraced(function* (hivePort: number, port: number) {
  const home = yield* temporaryFolder
  mkdirSync(join(home, "config"))
  writeFileSync(
    join(home, "config", "hives.conf"),
    `Host atlas\n  HostName 127.0.0.1\n  User x\n  HivePort ${hivePort}\n`
  )
  const args = [...daemonFlags, "--trace-gc", programFile, "queen", "serve"]
  const env = { ...process.env, RBEE_HOME: home, RBEE_QUEEN_PORT: String(port), RBEE_TOKEN: "" }
  let told = ""
  yield* Effect.acquireRelease(
    Effect.sync(() => {
      const queen = spawn(process.execPath, args, { env, stdio: ["ignore", "pipe", "ignore"] })
      queen.stdout.on("data", (text: Buffer) => {
        told += text.toString()
      })
      return queen
    }),
    (queen) => Effect.sync(() => queen.kill("SIGKILL"))
  )
  return () => told
})

/** Megabytes that each small collection left behind more than the one before it, of those with no full one between. */
const leftBy = (told: string) => {
  const left: Array<number> = []
  let before: number | undefined
  for (const line of told.split("\n")) {
    const after = Number(/Scavenge.*? -> (\d+\.\d)/.exec(line)?.[1] ?? Number.NaN)
    if (before !== undefined && after >= before) left.push(after - before)
    before = line.includes("Mark-Compact") || Number.isNaN(after) ? undefined : after
  }
  return left
}

describe("the garbage of a request", () => {
  // A test of what V8 makes of the code: see "Developing" in the README.
  it.live(
    "is collected with the next small collection, but for what the job's log keeps",
    () =>
      Effect.gen(function* () {
        const hive = yield* answeringHive
        const port = yield* freePort
        const told = yield* startQueen(hive.port, port)
        const agent = new http.Agent({ keepAlive: true })
        yield* Effect.addFinalizer(() => Effect.sync(() => agent.destroy()))
        yield* until(
          Effect.orElseSucceed(ask(port, agent), () => ""),
          (text) => text.includes("[DONE]")
        )
        const round = Effect.all(
          Array.from({ length: together }, () => ask(port, agent)),
          { concurrency: "unbounded" }
        )
        // Node compiles as it goes, and grows by that.
        yield* Effect.repeat(round, { times: rounds - 1 })
        const from = told().length
        yield* Effect.repeat(round, { times: rounds - 1 })
        const collections = told().slice(from)
        const left = leftBy(collections)
        assert.isAbove(left.length, 5)
        const perCollection = left.reduce((sum, megabytes) => sum + megabytes, 0) / left.length
        const requests = (together * rounds) / (collections.split("Scavenge").length - 1)
        const kilobytes = (perCollection * 1000) / requests
        assert.isBelow(kilobytes, mostKilobytes)
      }).pipe(Effect.scoped),
    60_000
  )
})
