import * as Context from "effect/Context"
import * as DateTime from "effect/DateTime"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Schedule from "effect/Schedule"
import { Token } from "../access/Token.ts"
import { DaemonAddress } from "../daemon/DaemonAddress.ts"
import { DaemonClient } from "../daemon/DaemonClient.ts"
import { Settings } from "../settings/Settings.ts"
import { isLoopback } from "../system/loopback.ts"
import { reachableUrl } from "../system/reachableUrl.ts"
import type { WorkerState } from "./workers/WorkerRecord.ts"
import { type ListedWorker, Workers } from "./workers/Workers.ts"

const heartbeatTimeout = "2 seconds"
// Failures 1, 2, 4, 8, … are logged up to this number; from here on every 64th.
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

/** Whether the n-th failure in a row is logged. */
export const shouldLogFailure = (failures: number) =>
  failures < quietFrom ? Number.isInteger(Math.log2(failures)) : failures % quietFrom === 0

/** A hive's heartbeat, without the address that is added when it is sent. */
export interface HiveHeartbeat {
  readonly hive_id: string
  /** Unique for each start of the daemon, so that a queen recognizes one daemon that is known under two ids. */
  readonly instance: string
  readonly timestamp: string
  readonly workers: ReadonlyArray<ReturnType<typeof workerBeat>>
}

/** The report of this hive and its workers, for its queen and for `GET /v1/heartbeat`. */
export class HeartbeatSource extends Context.Service<
  HeartbeatSource,
  { readonly beat: Effect.Effect<HiveHeartbeat> }
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

/** Sends heartbeats to the queen: one at once, then one every `heartbeat.every`. An unreachable queen is not an error. */
export const heartbeat = Layer.effectDiscard(
  Effect.gen(function* () {
    const client = yield* DaemonClient
    const token = yield* Token
    const source = yield* HeartbeatSource
    const { heartbeat, hive } = yield* Settings
    const { host = hive.host, path = "", port = hive.port } = yield* DaemonAddress
    const url = reachableUrl(host, port, isHere(hive.queenUrl)) + path
    const queen = { url: hive.queenUrl.replace(/\/$/, ""), token: Option.getOrUndefined(token.own) }
    let failures = 0

    const send = source.beat.pipe(
      Effect.flatMap((beat) => client.sendHeartbeat(queen, { ...beat, url })),
      Effect.as(undefined),
      Effect.timeout(heartbeatTimeout),
      Effect.catch(({ message }) => Effect.succeed(message))
    )

    const beat = Effect.gen(function* () {
      const problem = yield* send
      if (problem === undefined) {
        if (failures > 0)
          yield* Effect.logInfo("the queen accepts heartbeats again", { queen: hive.queenUrl })
        failures = 0
        return
      }
      failures++
      if (!shouldLogFailure(failures)) return
      yield* Effect.logWarning("the queen did not accept a heartbeat", {
        queen: hive.queenUrl,
        reason: problem,
        failures
      })
    })

    yield* beat.pipe(Effect.repeat(Schedule.spaced(heartbeat.every)), Effect.forkScoped)
  })
)
