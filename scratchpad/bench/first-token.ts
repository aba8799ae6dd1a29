// Milliseconds to the first token: with nothing running, with all daemons running, and the overhead of queen and hive over
// the worker. Needs `npm run build`. `node scratchpad/bench/first-token.ts [runs]`
import { spawn } from "node:child_process"
import { mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { agent, request, textOf } from "./processes.ts"

const program = new URL("../../dist/bin.js", import.meta.url).pathname
const queenPort = 18_611
const home = mkdtempSync(join(tmpdir(), "rbee-bench-"))
const env = { ...process.env, RBEE_HOME: home, RBEE_QUEEN_PORT: String(queenPort), RBEE_HIVE_PORT: "18612" }

const median = (values: ReadonlyArray<number>) =>
  values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)] ?? 0

/** Runs a command; returns its output and the time of its first output. */
const rbee = (...args: ReadonlyArray<string>) =>
  new Promise<{ readonly first: number; readonly text: string }>((resolve) => {
    const startedAt = performance.now()
    const child = spawn(process.execPath, [program, ...args], { env, stdio: ["ignore", "pipe", "ignore"] })
    let first = 0
    let text = ""
    child.stdout.on("data", (chunk: Buffer) => {
      first ||= performance.now() - startedAt
      text += chunk.toString()
    })
    child.on("close", () => resolve({ first, text }))
  })

const untilFirst = async (
  path: string,
  port: number,
  method: string,
  body: string | undefined,
  mark: string
) => {
  const response = await request(port, method, path, body)
  for await (const chunk of response) if (String(chunk).includes(mark)) break
}

const through = async (prompt: string) => {
  const startedAt = performance.now()
  const fields = {
    operation: "infer",
    hive_id: "localhost",
    model: "rbee:tiny",
    prompt,
    max_tokens: 4,
    temperature: 0
  }
  const { job_id } = JSON.parse(
    await textOf(await request(queenPort, "POST", "/v1/jobs", JSON.stringify(fields)))
  )
  await untilFirst(`/v1/jobs/${job_id}/events`, queenPort, "GET", undefined, "event: token")
  return performance.now() - startedAt
}

const direct = async (port: number, prompt: string) => {
  const startedAt = performance.now()
  const body = JSON.stringify({ prompt, max_tokens: 4, temperature: 0, stream: true })
  await untilFirst("/v1/completions", port, "POST", body, `"text"`)
  return performance.now() - startedAt
}

const runs = Number(process.argv[2] ?? 15)
const infer = ["infer", "--model", "rbee:tiny", "--max-tokens", "4", "It was"]
try {
  console.log(`cold: first token after ${(await rbee(...infer)).first.toFixed(0)} ms`)
  const warm: Array<number> = []
  for (let i = 0; i < runs; i++) warm.push((await rbee(...infer)).first)
  console.log(`warm: first token after ${median(warm).toFixed(0)} ms`)
  const { workers } = JSON.parse((await rbee("worker", "list", "--json")).text)
  const own: Array<number> = []
  const all: Array<number> = []
  for (let i = 0; i < runs * 4; i++) {
    own.push(await direct(workers[0].port, `It was ${i}`))
    all.push(await through(`It was ${i}`))
  }
  const hops = median(all) - median(own)
  console.log(
    `hops: worker alone ${median(own).toFixed(1)} ms, through queen and hive ${median(all).toFixed(1)} ms, difference ${hops.toFixed(1)} ms`
  )
} finally {
  await rbee("stop")
  agent.destroy()
  rmSync(home, { recursive: true, force: true })
}
