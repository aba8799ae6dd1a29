// Shared by the benchmarks: the queen as users run it (`npm run build` first), and the resource usage of a process from
// Linux's /proc.
import { type ChildProcess, fork, spawn } from "node:child_process"
import * as fs from "node:fs"
import * as http from "node:http"
import * as path from "node:path"
import { daemonFlags, programFile } from "../../src/system/Program.ts"

export const queenPort = 18_602

/** The folder of the benchmarks' queens. */
export const benchHome = `${process.env["TMPDIR"] ?? "/tmp"}/rbee-bench`

/** Starts a queen with one hive, `bench`, on the given port; returns when the queen answers. */
export const startQueen = async (hivePort: number, port = queenPort, home = benchHome) => {
  fs.mkdirSync(path.join(home, "config"), { recursive: true })
  const hive = `Host bench\n  HostName 127.0.0.1\n  User x\n  HivePort ${hivePort}\n`
  fs.writeFileSync(path.join(home, "config", "hives.conf"), hive)
  const child = spawn(
    process.execPath,
    [...process.execArgv, ...daemonFlags, programFile, "queen", "serve"],
    {
      env: { ...process.env, RBEE_HOME: home, RBEE_QUEEN_PORT: String(port) },
      stdio: ["ignore", "ignore", "inherit"]
    }
  )
  while (child.exitCode === null) {
    const health = await request(port, "GET", "/health").catch(() => undefined)
    if (health !== undefined && (await textOf(health)) !== "") return child
    await new Promise((resolve) => setTimeout(resolve, 50))
  }
  throw new Error(`the queen ended with ${child.exitCode}; was it built?`)
}

/** Runs a role of a benchmark in its own process; returns when it is ready. */
export const start = (file: string, ...role: ReadonlyArray<string>) =>
  new Promise<ChildProcess>((resolve) => {
    const child = fork(file, role)
    child.once("message", () => resolve(child))
  })

/** The usage of a process: CPU time of all threads in microseconds, and current and peak memory in bytes. */
export const usageOf = ({ pid }: ChildProcess) => {
  let cpu = 0
  for (const thread of fs.readdirSync(`/proc/${pid}/task`)) {
    const [nanos] = fs.readFileSync(`/proc/${pid}/task/${thread}/schedstat`, "utf8").split(" ")
    cpu += Number(nanos) / 1000
  }
  const status = fs.readFileSync(`/proc/${pid}/status`, "utf8")
  const bytes = (field: string) => Number(new RegExp(`${field}:\\s+(\\d+) kB`).exec(status)?.[1]) * 1024
  return { cpu, rss: bytes("VmRSS"), peak: bytes("VmHWM") }
}

export const agent = new http.Agent({ keepAlive: true, maxSockets: 1000 })

export const request = (port: number, method: string, path: string, body?: string) =>
  new Promise<http.IncomingMessage>((resolve, reject) => {
    http.request({ agent, port, method, path }, resolve).on("error", reject).end(body)
  })

export const textOf = async (response: http.IncomingMessage) => {
  let text = ""
  for await (const chunk of response) text += String(chunk)
  return text
}
