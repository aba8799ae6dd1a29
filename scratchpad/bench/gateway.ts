// The overhead of the queen's OpenAI endpoint compared with a bare node:http pipe in the same run, for a complete request (API
// key with limits, job, scheduler, the hive's job, answer) and for each event.
// After `npm run build`: `node scratchpad/bench/gateway.ts [latency|burst|paced|streams] [rounds]`; without an argument all
// run.
import { type ChildProcess, execFileSync, fork } from "node:child_process"
import * as fs from "node:fs"
import * as http from "node:http"
import * as os from "node:os"
import * as path from "node:path"
import { Result } from "effect"
import { newRecord, printKeys } from "../../src/access/ApiKey.ts"
import type { HiveInventory } from "../../src/operation/Inventory.ts"
import { agent, benchHome, startQueen, textOf, usageOf } from "./processes.ts"

interface Load {
  readonly streams: number
  readonly events: number
  /** Milliseconds between two events of a stream; 0 writes them all at once. */
  readonly every: number
}

const loads: Readonly<Record<string, Load>> = {
  burst: { streams: 16, events: 200, every: 0 },
  paced: { streams: 200, events: 200, every: 50 },
  streams: { streams: 400, events: 600, every: 50 }
}

// V8 optimizes the request path during the first few thousand requests.
const latency = { requests: 1000, perSecond: 200, events: 3, warmUp: 3 }

const model = "hf:bench/model:Q4_K_M"
const key = `rbee-${"benchmark".repeat(5)}`
const home = `${benchHome}-gateway`
const gatewayPort = 18_605

const chunk = (delta: object, finish_reason: string | null) =>
  JSON.stringify({
    id: "chatcmpl-0123456789abcdef",
    object: "chat.completion.chunk",
    created: 1_760_000_000,
    model,
    choices: [{ index: 0, delta, logprobs: null, finish_reason }]
  })

const opening = chunk({ role: "assistant", content: "" }, null)
const closing = chunk({}, "stop")
const piece = (index: number) => chunk({ content: ` word${index}` }, null)

/** The exact bytes that a client must receive. */
const answerOf = (events: number) =>
  [opening, ...Array.from({ length: events }, (_, index) => piece(index + 1)), closing, "[DONE]"]
    .map((data) => `data: ${data}\n\n`)
    .join("")

const inventory: HiveInventory = {
  devices: ["GPU-0", "GPU-1", "GPU-2", "GPU-3"].map((id) => ({
    id,
    name: "bench",
    device_type: "gpu",
    total_bytes: 24e9,
    free_bytes: 8e9,
    usable: true
  })),
  models: [
    {
      id: model,
      size_bytes: 5e9,
      memory_bytes: 8e9,
      worker_context: 4096,
      worker_slots: 4,
      token_bytes: 1024,
      architecture: "llama",
      parameters: 8e9,
      context_length: 8192,
      quantisation: "Q4_K_M",
      chat_template: true
    }
  ],
  workers: ["gpu-0", "gpu-1", "gpu-2", "gpu-3"].map((device) => ({
    worker_id: `bench-${device}`,
    state: "ready",
    model_id: model,
    engine: "llama-server",
    device,
    slots: 256,
    busy: 0,
    context_size: 8192,
    memory_bytes: 8e9
  }))
}

const listen = (answer: http.RequestListener) => {
  const server = http.createServer(answer).listen(0, "127.0.0.1", () => {
    const address = server.address()
    process.send?.({ port: typeof address === "object" ? address?.port : 0 })
  })
}

/** The format of events and of the end of a stream. */
interface Wire {
  readonly event: (id: number, data: string) => string
  readonly end: (id: number) => string
}

const asHive: Wire = {
  event: (id, data) => `id: ${id + 1}\nevent: chunk\ndata: ${data}\n\n`,
  end: (id) => `id: ${id + 1}\nevent: done\ndata: {"queued_ms":0,"run_ms":0}\n\n`
}
const asWorker: Wire = { event: (_id, data) => `data: ${data}\n\n`, end: () => "data: [DONE]\n\n" }

const narration = `id: 1\nevent: narration\ndata: {"actor":"hv-router","action":"route_job","message":"Executing operation: complete"}\n\n`

/** A hive with workers and a worker in one process: opens every answer at once, and continues it on the message `go`. */
const runWorker = () => {
  let open: Array<readonly [http.ServerResponse, Wire]> = []
  let load: Load | undefined
  const write = ([response, wire]: (typeof open)[number], events: number, every: number) => {
    let id = 2
    const end = () => response.end(wire.event(id, closing) + wire.end(id + 1))
    const next = () => response.write(wire.event(id, piece(id++ - 1)))
    if (every === 0) {
      for (let count = 0; count < events; count++) next()
      end()
      return
    }
    const timer = setInterval(() => {
      next()
      if (id < events + 2) return
      clearInterval(timer)
      end()
    }, every)
  }
  const begin = (response: http.ServerResponse, wire: Wire) => {
    response.writeHead(200, {
      "content-type": "text/event-stream",
      "cache-control": "no-cache",
      "x-rbee-job-id": `job-${++jobs}`
    })
    response.write((wire === asHive ? narration : "") + wire.event(1, opening))
    if (load === undefined) return write([response, wire], latency.events, 0)
    open.push([response, wire])
    process.send?.({ open: open.length })
  }
  const json = (response: http.ServerResponse, value: unknown) =>
    response.setHeader("content-type", "application/json").end(JSON.stringify(value))
  let jobs = 0
  listen((request, response) => {
    request.resume().on("end", () => {
      const { headers, method, url = "" } = request
      if (method === "DELETE") json(response, { job_id: "job", status: "cancelled" })
      else if (method === "POST" && url === "/v1/jobs" && headers.accept !== "text/event-stream") {
        json(response, { job_id: `job-${++jobs}` })
      } else if (url === "/v1/inventory") json(response, inventory)
      else if (url === "/v1/heartbeat") json(response, { hive_id: "bench", workers: [] })
      else begin(response, url === "/v1/chat/completions" ? asWorker : asHive)
    })
  })
  process.on("message", (message: { readonly load?: Load } | "go") => {
    if (message !== "go") load = message.load
    else if (load !== undefined) {
      const { events, every } = load
      // Spread the starts of paced streams over one interval.
      open.forEach((one, index) =>
        every === 0
          ? write(one, events, 0)
          : setTimeout(() => write(one, events, every), (index * every) / open.length)
      )
      open = []
    }
  })
}

const runPipe = (workerPort: number) => {
  const agent = new http.Agent({ keepAlive: true, maxSockets: 1000 })
  listen((request, response) => {
    const { headers, method, url } = request
    const onward = http.request({ agent, port: workerPort, method, path: url, headers }, (upstream) => {
      response.writeHead(upstream.statusCode ?? 500, upstream.headers)
      response.flushHeaders()
      upstream.pipe(response)
    })
    request.pipe(onward)
  })
}

interface Listener {
  readonly name: string
  readonly child: ChildProcess
  readonly port: number
}

const start = (name: string, ...args: ReadonlyArray<string>) =>
  new Promise<Listener>((resolve) => {
    const child = fork(import.meta.filename, [name, ...args])
    child.once("message", ({ port }: { readonly port: number }) => resolve({ name, child, port }))
  })

const startOwnQueen = async (workerPort: number): Promise<Listener> => {
  const wanted = { name: "bench", concurrency: 1000, tokensPerMinute: 1_000_000_000 }
  const record = Result.getOrThrow(newRecord(key, new Date(0).toISOString(), wanted))
  fs.mkdirSync(path.join(home, "config"), { recursive: true })
  fs.writeFileSync(path.join(home, "config", "keys.json"), printKeys([record]))
  return { name: "queen", child: await startQueen(workerPort, gatewayPort, home), port: gatewayPort }
}

/** Runs a measurement with its own queen, after the queen has the inventory of its hive. */
const withQueen = async (worker: Listener, use: (queen: Listener) => Promise<void>) => {
  const queen = await startOwnQueen(worker.port)
  pin([queen], [])
  worker.child.send({})
  while ((await textOf(await ask(queen.port))) !== answerOf(latency.events)) {
    await new Promise((resolve) => setTimeout(resolve, 500))
  }
  await use(queen)
  const ended = new Promise((resolve) => queen.child.once("exit", resolve))
  queen.child.kill()
  await ended
}

/** Pins the measured processes to the last core, and all others to the other cores; returns false if that is impossible. */
const pin = (measured: ReadonlyArray<Listener>, others: ReadonlyArray<Listener>) => {
  const last = os.availableParallelism() - 1
  if (last < 1) return false
  const to = (cores: string, pid = 0) => execFileSync("taskset", ["-a", "-c", "-p", cores, String(pid)])
  try {
    for (const { child } of measured) to(String(last), child.pid)
    for (const { child } of others) to(`0-${last - 1}`, child.pid)
    to(`0-${last - 1}`, process.pid)
    return true
  } catch {
    return false
  }
}

const body = JSON.stringify({
  model,
  stream: true,
  messages: [
    {
      role: "system",
      content: "You answer in one sentence, in plain words, and say when you do not know. ".repeat(8)
    },
    { role: "user", content: "What did the novelist mean by a truth universally acknowledged?" }
  ]
})
const requestHeaders = {
  authorization: `Bearer ${key}`,
  "content-type": "application/json",
  "content-length": Buffer.byteLength(body)
}

/** Sends a request; returns the response at its first byte. */
const ask = (port: number) =>
  new Promise<http.IncomingMessage>((resolve, reject) => {
    const options = { agent, port, method: "POST", path: "/v1/chat/completions", headers: requestHeaders }
    http.request(options, resolve).on("error", reject).end(body)
  })

const check = (answer: string, expected: string) => {
  // The queen sends keep-alive comments while the answers open.
  if (answer.replaceAll(": waiting\n\n", "") === expected) return
  throw new Error(
    `an answer of ${answer.length} bytes in place of ${expected.length}: ${answer.slice(0, 300)}`
  )
}

/** CPU time of the process per forwarded event, without the opening of the streams. */
const measure = async (worker: Listener, { child, port }: Listener, load: Load, rounds: number) => {
  const expected = answerOf(load.events)
  let cpu = 0
  let wall = 0
  worker.child.send({ load })
  for (let round = 0; round < rounds; round++) {
    const answers: Array<http.IncomingMessage> = []
    for (let left = load.streams; left > 0; left -= 50) {
      answers.push(...(await Promise.all(Array.from({ length: Math.min(left, 50) }, () => ask(port)))))
    }
    const before = usageOf(child)
    const startedAt = performance.now()
    const reading = Promise.all(answers.map(textOf))
    worker.child.send("go")
    for (const answer of await reading) check(answer, expected)
    wall += performance.now() - startedAt
    cpu += usageOf(child).cpu - before.cpu
  }
  return {
    perEvent: cpu / (rounds * load.streams * load.events),
    share: cpu / 1000 / wall,
    ...usageOf(child)
  }
}

const sorted = (numbers: ReadonlyArray<number>) => numbers.toSorted((left, right) => left - right)
const at = (numbers: ReadonlyArray<number>, share: number) =>
  sorted(numbers)[Math.min(numbers.length - 1, Math.floor(numbers.length * share))] ?? Number.NaN

/** Milliseconds to the first byte of each answer at a fixed request rate, and the CPU time per request. */
const firstBytes = async (worker: Listener, { child, port }: Listener) => {
  const expected = answerOf(latency.events)
  const waits: Array<number> = []
  worker.child.send({})
  const before = usageOf(child)
  const startedAt = performance.now()
  const answers: Array<Promise<void>> = []
  for (let sent = 0; sent < latency.requests;) {
    const due = Math.min(latency.requests, ((performance.now() - startedAt) / 1000) * latency.perSecond)
    for (; sent < due; sent++) {
      const sentAt = performance.now()
      const answer = ask(port).then((response) => {
        waits.push(performance.now() - sentAt)
        return textOf(response)
      })
      answers.push(answer.then((answer) => check(answer, expected)))
    }
    await new Promise((resolve) => setTimeout(resolve, 1))
  }
  await Promise.all(answers)
  const { cpu } = usageOf(child)
  return { median: at(waits, 0.5), p99: at(waits, 0.99), cpu: (cpu - before.cpu) / latency.requests }
}

const main = async () => {
  const [only, roundsArgument] = process.argv.slice(2)
  const worker = await start("worker")
  const pipe = await start("pipe", String(worker.port))
  console.log(
    pin([pipe], [worker])
      ? "queen and pipe run on their own core"
      : "taskset is not available: processes are not pinned"
  )
  const rounds = (usual: number) => (roundsArgument === undefined ? usual : Number(roundsArgument))

  if (only === undefined || only === "latency") {
    await withQueen(worker, async (queen) => {
      const targets = [{ ...pipe, name: "worker", port: worker.port }, pipe, queen]
      const runs = new Map(
        targets.map(({ name }) => [name, new Array<Awaited<ReturnType<typeof firstBytes>>>()])
      )
      for (let round = 0; round < latency.warmUp + rounds(6); round++) {
        for (const target of targets) {
          const measured = await firstBytes(worker, target)
          if (round >= latency.warmUp) runs.get(target.name)?.push(measured)
        }
      }
      for (const [name, all] of runs) {
        const middle = (field: "cpu" | "median" | "p99") =>
          at(
            all.map((run) => run[field]),
            0.5
          )
        console.log(
          `latency, ${name}: first byte after ${middle("median").toFixed(2)} ms, p99 ${middle("p99").toFixed(2)} ms; ${middle("cpu").toFixed(0)} us of CPU per request`
        )
      }
    })
  }

  for (const [name, load] of Object.entries(loads)) {
    if (only !== undefined && only !== name) continue
    await withQueen(worker, async (queen) => {
      const count = rounds(name === "burst" ? 300 : 1)
      if (name !== "streams") {
        await measure(worker, pipe, load, Math.min(count, 200))
        await measure(worker, queen, load, Math.min(count, 200))
      }
      const bare = await measure(worker, pipe, load, count)
      const own = await measure(worker, queen, load, count)
      console.log(
        `${name}: pipe ${bare.perEvent.toFixed(1)} us, queen ${own.perEvent.toFixed(1)} us of CPU per event, ratio ${(own.perEvent / bare.perEvent).toFixed(2)}; queen ${(own.share * 100).toFixed(0)} % of a core, ${(own.peak / 1e6).toFixed(0)} MB at most (pipe ${(bare.peak / 1e6).toFixed(0)}); every answer complete and in order`
      )
    })
  }
  for (const { child } of [worker, pipe]) child.kill()
  agent.destroy()
}

const [role, workerPort] = process.argv.slice(2)
const roles: Readonly<Record<string, (workerPort: number) => void>> = {
  worker: runWorker,
  pipe: runPipe
}
const run = roles[role ?? ""]
if (run === undefined) await main()
else {
  process.on("disconnect", () => process.exit())
  run(Number(workerPort))
}
