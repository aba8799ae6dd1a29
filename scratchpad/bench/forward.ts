// CPU per event of the queen's forwarding, from a hive's /events to its own, compared with a bare node:http pipe in the
// same run. `node scratchpad/bench/forward.ts [burst|paced] [rounds]`; without an argument both run. Needs `npm run build`.
import type { ChildProcess } from "node:child_process"
import * as http from "node:http"
import { agent, queenPort, request, start, startQueen, textOf, usageOf } from "./processes.ts"

const hivePort = 18_601
const pipePort = 18_603

interface Load {
  readonly streams: number
  readonly events: number
  /** Milliseconds between two events of a stream; 0 writes them all at once. */
  readonly every: number
}

const loads: Readonly<Record<string, Load>> = {
  burst: { streams: 16, events: 200, every: 0 },
  paced: { streams: 200, events: 200, every: 50 }
}

const frame = (id: number) => `id: ${id}\nevent: token\ndata: {"text":" word${id}"}\n\n`

/** A hive that opens every stream at once, and sends the events on the message `go`. */
const runHive = () => {
  let open: Array<http.ServerResponse> = []
  const end = (response: http.ServerResponse, id: number) =>
    response.end(`id: ${id}\nevent: done\ndata: {"queued_ms":0,"run_ms":0}\n\n`)
  const go = ({ events, every }: Load) => {
    for (const response of open) {
      let id = 1
      if (every === 0) {
        while (id <= events) response.write(frame(id++))
        end(response, id)
        continue
      }
      const timer = setInterval(() => {
        response.write(frame(id++))
        if (id <= events) return
        clearInterval(timer)
        end(response, id)
      }, every)
    }
    open = []
  }
  http
    .createServer((request, response) => {
      if (request.method === "POST") {
        request.resume()
        response.setHeader("content-type", "application/json").end(`{"job_id":"job-1"}`)
        return
      }
      // The queen also polls the hive's state, which must not count as an open stream.
      if (!/^\/v1\/jobs\/[^/]+\/events/.test(request.url ?? "")) {
        response.writeHead(404).end()
        return
      }
      response.writeHead(200, { "content-type": "text/event-stream" })
      response.flushHeaders()
      open.push(response)
      process.send?.({ open: open.length })
    })
    .listen(hivePort, "127.0.0.1", () => process.send?.("ready"))
  process.on("message", go)
}

const runPipe = () => {
  const agent = new http.Agent({ keepAlive: true, maxSockets: 1000 })
  http
    .createServer((request, response) => {
      http.get({ agent, port: hivePort, path: request.url }, (upstream) => {
        response.writeHead(upstream.statusCode ?? 500, upstream.headers)
        response.flushHeaders()
        upstream.pipe(response)
      })
    })
    .listen(pipePort, "127.0.0.1", () => process.send?.("ready"))
}

const operation = JSON.stringify({ operation: "worker_list", hive_id: "bench" })

/** Opens a stream; returns the number of received events at its end. */
const openStream = async (port: number) => {
  let path = "/v1/jobs/job-1/events"
  if (port === queenPort) {
    const { job_id } = JSON.parse(await textOf(await request(port, "POST", "/v1/jobs", operation)))
    path = `/v1/jobs/${job_id}/events`
  }
  const response = await request(port, "GET", path)
  return async () => (await textOf(response)).split("event: token").length - 1
}

const measure = async (hive: ChildProcess, proxy: ChildProcess, port: number, load: Load, rounds: number) => {
  let cpu = 0
  let events = 0
  for (let round = 0; round < rounds; round++) {
    const allOpen = new Promise<void>((resolve) => {
      const listen = (message: { readonly open: number }) => {
        if (message.open !== load.streams) return
        hive.off("message", listen)
        resolve()
      }
      hive.on("message", listen)
    })
    const streams = await Promise.all(Array.from({ length: load.streams }, () => openStream(port)))
    await allOpen
    const before = usageOf(proxy)
    const reading = Promise.all(streams.map((read) => read()))
    hive.send(load)
    const counts = await reading
    cpu += usageOf(proxy).cpu - before.cpu
    for (const count of counts) {
      if (count !== load.events) throw new Error(`a stream gave ${count} events of ${load.events}`)
      events += count
    }
  }
  return cpu / events
}

const main = async () => {
  const [only, given] = process.argv.slice(2)
  const hive = await start(import.meta.filename, "hive")
  const pipe = await start(import.meta.filename, "pipe")
  const queen = await startQueen(hivePort)
  for (const [name, load] of Object.entries(loads)) {
    if (only !== undefined && only !== name) continue
    const rounds = given === undefined ? (name === "burst" ? 300 : 1) : Number(given)
    await measure(hive, pipe, pipePort, load, Math.min(rounds, 200))
    await measure(hive, queen, queenPort, load, Math.min(rounds, 200))
    const bare = await measure(hive, pipe, pipePort, load, rounds)
    const own = await measure(hive, queen, queenPort, load, rounds)
    console.log(
      `${name}: pipe ${bare.toFixed(1)} us, queen ${own.toFixed(1)} us of CPU per event, ratio ${(own / bare).toFixed(2)}`
    )
  }
  for (const child of [hive, pipe, queen]) child.kill()
  agent.destroy()
}

const roles: Readonly<Record<string, () => void>> = {
  hive: runHive,
  pipe: runPipe
}
const role = roles[process.argv[2] ?? ""]
if (role === undefined) await main()
else role()
