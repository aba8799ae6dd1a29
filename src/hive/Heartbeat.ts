import * as DateTime from "effect/DateTime"
import * as Effect from "effect/Effect"
import * as HttpClient from "effect/http/HttpClient"
import * as HttpClientRequest from "effect/http/HttpClientRequest"
import * as HttpServer from "effect/http/HttpServer"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Schedule from "effect/Schedule"
import { isLoopback, reachableUrl } from "../config/reachableUrl.ts"
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
  busy: "healthy",
  draining: "stopping",
  stopped: "stopped",
  failed: "unhealthy"
}

const isHere = (url: string) => URL.canParse(url) && isLoopback(new URL(url).hostname)

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

/** What a queen is told of this hive and its workers, now. */
export const makeBeat = Effect.gen(function* () {
  const workers = yield* Workers
  const { hive } = yield* Settings
  return Effect.gen(function* () {
    const timestamp = DateTime.formatIso(yield* DateTime.now)
    const list = yield* workers.list
    return { hive_id: hive.id, timestamp, workers: list.map((worker) => workerBeat(timestamp, worker)) }
  })
})

/** Tells the queen of this hive and its workers: at once, then again and again. A queen that is away is no error. */
export const heartbeat = Layer.effectDiscard(
  Effect.gen(function* () {
    const http = yield* HttpClient.HttpClient
    const server = yield* HttpServer.HttpServer
    const token = yield* Token
    const beatNow = yield* makeBeat
    const { heartbeat, hive } = yield* Settings
    const { address } = server
    const port = "port" in address ? address.port : hive.port
    const url = reachableUrl(hive.host, port, isHere(hive.queenUrl))
    const target = `${hive.queenUrl.replace(/\/$/, "")}/v1/heartbeat`
    let failures = 0

    const send = Effect.gen(function* () {
      const beat = { ...(yield* beatNow), url }
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
