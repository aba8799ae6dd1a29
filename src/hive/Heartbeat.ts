import * as Context from "effect/Context"
import * as DateTime from "effect/DateTime"
import * as Effect from "effect/Effect"
import * as HttpClient from "effect/http/HttpClient"
import * as HttpClientRequest from "effect/http/HttpClientRequest"
import * as HttpServer from "effect/http/HttpServer"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Schedule from "effect/Schedule"
import { Token } from "../access/Token.ts"
import { Settings } from "../settings/Settings.ts"
import { isLoopback } from "../system/loopback.ts"
import { reachableUrl } from "../system/reachableUrl.ts"
import type { WorkerState } from "./workers/WorkerRecord.ts"
import { type ListedWorker, Workers } from "./workers/Workers.ts"

const heartbeatTimeout = "2 seconds"
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
export const shouldLogFailure = (failures: number) =>
  failures < quietFrom ? Number.isInteger(Math.log2(failures)) : failures % quietFrom === 0

/** The heartbeat of a hive at one moment, without the address that a sent one adds. */
export interface Beat {
  readonly hive_id: string
  /** Changes each time the daemon starts, so that a queen can tell one daemon known by two names. */
  readonly instance: string
  readonly timestamp: string
  readonly workers: ReadonlyArray<ReturnType<typeof workerBeat>>
}

/** What this hive reports about itself and its workers, to its queen and at `GET /v1/heartbeat`. */
export class HeartbeatSource extends Context.Service<
  HeartbeatSource,
  { readonly beat: Effect.Effect<Beat> }
>()("rbee/hive/Heartbeat/HeartbeatSource") {
  static readonly layerNoDeps = Layer.effect(
    HeartbeatSource,
    Effect.gen(function* () {
      const workers = yield* Workers
      const { hive } = yield* Settings
      const instance = crypto.randomUUID()
      const beat = Effect.gen(function* () {
        const timestamp = DateTime.formatIso(yield* DateTime.now)
        const list = yield* workers.list
        return {
          hive_id: hive.id,
          instance,
          timestamp,
          workers: list.map((worker) => workerBeat(timestamp, worker))
        }
      })
      return HeartbeatSource.of({ beat })
    })
  )
}

/** Tells the queen of this hive and its workers: at once, then again and again. A queen that is away is no error. */
export const heartbeat = Layer.effectDiscard(
  Effect.gen(function* () {
    const http = yield* HttpClient.HttpClient
    const server = yield* HttpServer.HttpServer
    const token = yield* Token
    const source = yield* HeartbeatSource
    const { heartbeat, hive } = yield* Settings
    const { address } = server
    const port = "port" in address ? address.port : hive.port
    const url = reachableUrl(hive.host, port, isHere(hive.queenUrl))
    const target = `${hive.queenUrl.replace(/\/$/, "")}/v1/heartbeat`
    let failures = 0

    const send = Effect.gen(function* () {
      const beat = { ...(yield* source.beat), url }
      const request = HttpClientRequest.post(target).pipe(
        HttpClientRequest.bodyJsonUnsafe(beat),
        Option.isSome(token.own) ? HttpClientRequest.bearerToken(token.own.value) : (_) => _
      )
      const response = yield* http.execute(request)
      yield* response.text
      return response.status === 200 ? undefined : `the queen answered with the status ${response.status}`
    }).pipe(
      Effect.timeout(heartbeatTimeout),
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
      if (!shouldLogFailure(failures)) return
      yield* Effect.logWarning("the queen took no heartbeat", {
        queen: hive.queenUrl,
        reason: problem,
        failures
      })
    })

    yield* beat.pipe(Effect.repeat(Schedule.spaced(heartbeat.every)), Effect.forkScoped)
  })
)
