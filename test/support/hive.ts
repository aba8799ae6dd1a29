import { NodeServices } from "@effect/platform-node"
import { Context, Duration, Effect, FileSystem, Layer, Schema, Stream } from "effect"
import { Token } from "../../src/access/Token.ts"
import { boundUrl } from "../../src/daemon/DaemonAddress.ts"
import { DaemonClient } from "../../src/daemon/DaemonClient.ts"
import { Devices } from "../../src/hive/devices/Devices.ts"
import { Engines } from "../../src/hive/engines/Engines.ts"
import { Hive } from "../../src/hive/Hive.ts"
import { WorkerRecord } from "../../src/hive/workers/WorkerRecord.ts"
import { workerPool } from "../../src/http/workerPool.ts"
import { JobsClient } from "../../src/job/client/JobsClient.ts"
import type { Peer } from "../../src/job/client/Peer.ts"
import { JobEvent, readFailure } from "../../src/job/log/JobEvent.ts"
import { Paths } from "../../src/settings/Paths.ts"
import { type SettingChanges, Settings } from "../../src/settings/Settings.ts"
import { DetachedProcess } from "../../src/system/DetachedProcess.ts"
import { PidFile } from "../../src/system/PidFile.ts"
import { Pids } from "../../src/system/Pids.ts"
import { workerProgram } from "./programs.ts"

export interface HiveOptions {
  readonly home: string
  readonly id?: string
  readonly port?: number
  readonly queenUrl?: string
  readonly worker?: string
  readonly heartbeatEvery?: Duration.Duration
  readonly settings?: SettingChanges
  /** In place of this machine's. */
  readonly devices?: Layer.Layer<Devices>
}

/** A whole hive on a free port, its state below `home`, with the workers of `programs.ts`. */
export const hiveLayer = (options: HiveOptions) =>
  Hive.layerNoDeps.pipe(
    Layer.provide(
      Layer.mergeAll(
        PidFile.layer,
        DetachedProcess.layer,
        options.devices ?? Devices.layerNoDeps,
        Engines.layerWith(options.worker ?? workerProgram)
      )
    ),
    Layer.provideMerge(Layer.mergeAll(Pids.layer, DaemonClient.layerNoDeps, JobsClient.layerNoDeps)),
    Layer.provideMerge(workerPool),
    Layer.provideMerge(
      Layer.mergeAll(
        Settings.layerDefaults({
          ...options.settings,
          hive: {
            id: options.id ?? "test",
            port: options.port ?? 0,
            queenUrl: options.queenUrl ?? "http://127.0.0.1:9"
          },
          heartbeat: { every: options.heartbeatEvery ?? Duration.seconds(5) },
          engine: { parallel: 2, ...options.settings?.engine }
        }),
        Token.layerMemory(),
        Paths.layerAt(options.home)
      )
    ),
    Layer.provideMerge(NodeServices.layer)
  )

/** A folder that goes away with the scope. */
export const temporaryHome = Effect.gen(function* () {
  const fs = yield* FileSystem.FileSystem
  return yield* fs.makeTempDirectoryScoped({ prefix: "rbee-hive-" })
}).pipe(Effect.provide(NodeServices.layer))

/** Runs a test against a hive with a home of its own. */
export const withHive = <A, E, R>(test: Effect.Effect<A, E, R>, options: Omit<HiveOptions, "home"> = {}) =>
  Effect.flatMap(temporaryHome, (home) =>
    Effect.provide(test, Client.layer.pipe(Layer.provideMerge(hiveLayer({ ...options, home }))))
  )

/** Speaks with a daemon over its socket. */
export class Client extends Context.Service<
  Client,
  {
    readonly peer: Peer
    readonly submit: (operation: object) => Effect.Effect<string>
    readonly follow: (jobId: string) => Stream.Stream<JobEvent>
    readonly events: (operation: object) => Effect.Effect<ReadonlyArray<JobEvent>>
    readonly cancel: (jobId: string) => Effect.Effect<void>
  }
>()("rbee/test/support/hive/Client") {
  static readonly make = Effect.fnUntraced(function* (url: string) {
    const client = yield* JobsClient
    const daemons = yield* DaemonClient
    const peer: Peer = { url }
    const submit = (operation: object) => Effect.orDie(client.submit(peer, JSON.stringify(operation)))
    const follow = (jobId: string) => Stream.orDie(client.events(peer, jobId))
    return Client.of({
      peer,
      submit,
      follow,
      events: (operation) => Effect.flatMap(submit(operation), (id) => Stream.runCollect(follow(id))),
      cancel: (jobId) => Effect.orDie(daemons.cancel(peer, jobId))
    })
  })

  static readonly layer = Layer.effect(this, Effect.flatMap(boundUrl, this.make))
}

const decodeWorker = Schema.decodeUnknownSync(Schema.fromJsonString(WorkerRecord))
const decodeWorkers = Schema.decodeUnknownSync(
  Schema.fromJsonString(Schema.Struct({ workers: Schema.Array(WorkerRecord) }))
)

/** The data of a job's result; the failure's sentence when it has none. */
export const resultOf = (events: ReadonlyArray<JobEvent>) => {
  const result = events.find(({ kind }) => kind === "result")
  if (result !== undefined) return result.json
  throw new Error(`no result: ${events.map(({ json, kind }) => `${kind} ${json}`).join("\n")}`)
}

export const workerOf = (events: ReadonlyArray<JobEvent>) => decodeWorker(resultOf(events))

export const failureOf = (events: ReadonlyArray<JobEvent>) => {
  const last = events.at(-1)
  const failure = last?.kind === "failed" ? readFailure(last.json) : undefined
  if (failure?._tag === "Some") return failure.value.error
  throw new Error(`no failure: ${events.map(({ json, kind }) => `${kind} ${json}`).join("\n")}`)
}

export const narrationOf = (events: ReadonlyArray<JobEvent>) =>
  events
    .filter(({ kind }) => kind === "narration")
    .map(({ json }) => json)
    .join("\n")

export const workerList = Effect.gen(function* () {
  const client = yield* Client
  const events = yield* client.events({ operation: "worker_list", hive_id: "test" })
  return decodeWorkers(resultOf(events)).workers
})

export const spawnTiny = {
  operation: "worker_spawn",
  hive_id: "test",
  model: "rbee:tiny",
  worker: "cpu",
  device: 0
}

/** The likeliest tokens, of which this prompt has as many as are wanted. */
export const inferTiny = {
  operation: "infer",
  hive_id: "test",
  model: "rbee:tiny",
  prompt: "The sea",
  max_tokens: 20,
  temperature: 0
}
