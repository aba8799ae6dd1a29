// @effect-diagnostics nodeBuiltinImport:off -- Effect has no service for the machine's addresses
import * as DateTime from "effect/DateTime"
import * as Effect from "effect/Effect"
import * as HttpClient from "effect/http/HttpClient"
import * as HttpClientRequest from "effect/http/HttpClientRequest"
import * as HttpServer from "effect/http/HttpServer"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Schedule from "effect/Schedule"
import * as Os from "node:os"
import { Settings } from "../config/Settings.ts"
import { Token } from "../config/Token.ts"
import type { WorkerState } from "./WorkerRecord.ts"
import { type ListedWorker, Workers } from "./Workers.ts"

const beatWithin = "2 seconds"
// Failures are told at the first, the second, the fourth, the eighth, … and at each of these steps from here on.
const quietFrom = 64

const health: Record<WorkerState, string> = {
  starting: "starting",
  ready: "healthy",
  stopping: "stopping",
  failed: "unhealthy"
}

const wildcards = new Set(["0.0.0.0", "::", ""])
const isLoopback = (host: string) => host === "localhost" || host === "[::1]" || host.startsWith("127.")

/** This machine's first address that others can reach; loopback when it has none. */
const ownAddress = () =>
  Object.values(Os.networkInterfaces())
    .flatMap((addresses) => addresses ?? [])
    .find(({ family, internal }) => family === "IPv4" && !internal)?.address ?? "127.0.0.1"

/** The hive's base URL as its queen can reach it: one that listens everywhere names a single address. */
export const reachableUrl = (host: string, port: number, queenUrl: string) => {
  const queenIsHere = URL.canParse(queenUrl) && isLoopback(new URL(queenUrl).hostname)
  const name = wildcards.has(host) ? (queenIsHere ? "127.0.0.1" : ownAddress()) : host
  return `http://${name.includes(":") ? `[${name}]` : name}:${port}`
}

const workerBeat = (now: string, { record, requests }: ListedWorker) => ({
  worker_id: record.id,
  state: record.state,
  last_heartbeat: now,
  health_status: health[record.state],
  url: record.port === undefined ? "" : `http://127.0.0.1:${record.port}`,
  model_id: record.model,
  busy: requests
})

/** Whether the n-th failure in a row is worth a line in the log. */
export const isTold = (failures: number) =>
  failures < quietFrom ? Number.isInteger(Math.log2(failures)) : failures % quietFrom === 0

/** Tells the queen of this hive and its workers: at once, then again and again. A queen that is away is no error. */
export const heartbeat = Layer.effectDiscard(
  Effect.gen(function* () {
    const http = yield* HttpClient.HttpClient
    const server = yield* HttpServer.HttpServer
    const workers = yield* Workers
    const token = yield* Token
    const { heartbeat, hive } = yield* Settings
    const { address } = server
    const port = "port" in address ? address.port : hive.port
    const url = reachableUrl(hive.host, port, hive.queenUrl)
    const target = `${hive.queenUrl.replace(/\/$/, "")}/v1/heartbeat`
    let failures = 0

    const send = Effect.gen(function* () {
      const timestamp = DateTime.formatIso(yield* DateTime.now)
      const list = yield* workers.list
      const beat = {
        hive_id: hive.id,
        timestamp,
        url,
        workers: list.map((worker) => workerBeat(timestamp, worker))
      }
      const request = HttpClientRequest.post(target).pipe(
        HttpClientRequest.bodyJsonUnsafe(beat),
        Option.isSome(token.own) ? HttpClientRequest.bearerToken(token.own.value) : (_) => _
      )
      const response = yield* http.execute(request)
      yield* response.text
      return response.status === 200 ? undefined : `the queen answered with the status ${response.status}`
    }).pipe(
      Effect.timeout(beatWithin),
      Effect.catch(({ message }) => Effect.succeed(message))
    )

    const beat = Effect.gen(function* () {
      const problem = yield* send
      if (problem === undefined) {
        if (failures > 0) yield* Effect.logInfo("the queen takes heartbeats again", { queen: hive.queenUrl })
        failures = 0
        return
      }
      failures++
      if (!isTold(failures)) return
      yield* Effect.logWarning("the queen took no heartbeat", {
        queen: hive.queenUrl,
        reason: problem,
        failures
      })
    })

    yield* beat.pipe(Effect.repeat(Schedule.spaced(heartbeat.every)), Effect.forkScoped)
  })
)
