// What the benchmarks share: a queen in a process of its own, and how much a process has used.
import { type ChildProcess, fork } from "node:child_process"
import * as http from "node:http"
import { NodeRuntime, NodeServices } from "@effect/platform-node"
import { Effect, Layer } from "effect"
import { DetachedProcess } from "../../src/config/DetachedProcess.ts"
import { HivesConf } from "../../src/config/HivesConf.ts"
import { Paths } from "../../src/config/Paths.ts"
import { Pids } from "../../src/config/Pids.ts"
import { RunFile } from "../../src/config/RunFile.ts"
import { Settings } from "../../src/config/Settings.ts"
import { Token } from "../../src/config/Token.ts"
import { serve } from "../../src/job/Daemon.ts"
import { hivePool } from "../../src/queen/HivePool.ts"
import { Queen } from "../../src/queen/Queen.ts"

export const queenPort = 18_602

/** The folder of the benchmarks' queens. */
export const benchHome = `${process.env["TMPDIR"] ?? "/tmp"}/rbee-bench`

/** A queen that knows one hive, `bench`, on the given port. Sends its own port when it listens. */
export const runQueen = (hivePort: number, port = queenPort, home = benchHome) => {
  const hives = [{ aliases: ["bench"], hostName: "127.0.0.1", port: 22, user: "x", hivePort }]
  const machine = Layer.mergeAll(HivesConf.layerMemory(hives), RunFile.layer, DetachedProcess.layer).pipe(
    Layer.provideMerge(Pids.layer),
    Layer.provideMerge(hivePool),
    Layer.provideMerge(Token.layer),
    Layer.provideMerge(Settings.layerDefaults({ queen: { port } })),
    Layer.provideMerge(Paths.layerAt(home)),
    Layer.provideMerge(NodeServices.layer)
  )
  const tell = (url: string) => Effect.sync(() => process.send?.({ port: Number(new URL(url).port) }))
  NodeRuntime.runMain(serve(Queen.layerNoDeps.pipe(Layer.provide(machine)), tell))
}

/** Runs one of the roles of a benchmark in a process of its own; returns when it is ready. */
export const start = (file: string, ...role: ReadonlyArray<string>) =>
  new Promise<ChildProcess>((resolve) => {
    const child = fork(file, role)
    child.once("message", () => resolve(child))
  })

/** Answers `usageOf` in a process that was started with `start`. */
export const answerUsage = () =>
  process.on("message", (message) => {
    if (message === "usage") process.send?.({ cpu: process.cpuUsage(), rss: process.memoryUsage().rss })
  })

interface Usage {
  readonly cpu: NodeJS.CpuUsage
  readonly rss: number
}

/** User and system time in microseconds and memory in bytes of a process, by its own account. */
export const usageOf = (child: ChildProcess) =>
  new Promise<{ readonly cpu: number; readonly rss: number }>((resolve) => {
    child.once("message", ({ cpu, rss }: Usage) => resolve({ cpu: cpu.user + cpu.system, rss }))
    child.send("usage")
  })

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
