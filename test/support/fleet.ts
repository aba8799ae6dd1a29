import { type ChildProcess, spawn } from "node:child_process"
import { copyFileSync, mkdirSync } from "node:fs"
import * as path from "node:path"
import { NodeServices } from "@effect/platform-node"
import { Context, Effect, Exit, Layer, Redacted, Schema, Scope, Stream } from "effect"
import type { NewApiKey } from "../../src/access/ApiKey.ts"
import { ApiKeys } from "../../src/access/ApiKeys.ts"
import { boundUrl } from "../../src/daemon/DaemonAddress.ts"
import { DaemonClient } from "../../src/daemon/DaemonClient.ts"
import { Device, Devices } from "../../src/hive/devices/Devices.ts"
import { WorkerRecord } from "../../src/hive/workers/WorkerRecord.ts"
import { Workers } from "../../src/hive/workers/Workers.ts"
import { JobsClient } from "../../src/job/client/JobsClient.ts"
import type { HiveInventory } from "../../src/operation/Inventory.ts"
import { keyOf } from "../../src/queen/scheduler/Fleet.ts"
import { FleetView } from "../../src/queen/scheduler/FleetView.ts"
import { Scheduler } from "../../src/queen/scheduler/Scheduler.ts"
import { Paths } from "../../src/settings/Paths.ts"
import type { SettingChanges } from "../../src/settings/Settings.ts"
import { Pids } from "../../src/system/Pids.ts"
import { type Metadata, writeTinyVariant } from "./editGguf.ts"
import { hiveLayer, resultOf, spawnTiny, temporaryHome, workerOf } from "./hive.ts"
import { cpu } from "./hiveFakes.ts"
import {
  serveHiveProgram,
  slowLoaderProgram,
  slowerWorkerProgram,
  slowWorkerProgram,
  workerProgram
} from "./programs.ts"
import { QueenClient, queenLayer } from "./queen.ts"
import { until } from "./until.ts"

export interface FleetOptions {
  /** The ids of the hives. */
  readonly hives: ReadonlyArray<string>
  /** Those of them that run as processes of their own, so that a test can kill them; they have the default settings. */
  readonly processes?: ReadonlyArray<string>
  readonly queen?: SettingChanges
  readonly hive?: SettingChanges | ((id: string) => SettingChanges)
  /** How much memory a hive's only device has, of which each worker takes its part; the real machine when absent. */
  readonly memoryBytes?: number
  /** The keys of applications at the queen; without any, nobody needs one. */
  readonly keys?: ReadonlyArray<NewApiKey>
  /** Whether the workers are slow enough that a test can do something in the middle of an answer. */
  readonly slow?: keyof typeof slowWorkers | boolean
  /** Models that a hive has besides `rbee:tiny`: copies of it under these names. */
  readonly models?: ReadonlyArray<string> | ((id: string) => ReadonlyArray<string>)
  /** The same, with other metadata. */
  readonly variants?: Readonly<Record<string, Metadata>>
}

/** A hive of a fleet under test. */
export interface FleetHive {
  readonly id: string
  readonly url: string
  readonly home: string
  readonly workers: Effect.Effect<ReadonlyArray<WorkerRecord>>
  readonly inventory: Effect.Effect<HiveInventory>
  /** Stops it in an orderly way, with its workers. */
  readonly stop: Effect.Effect<void>
  /** Kills it with its workers, as when its machine loses power; only of one that is a process of its own. */
  readonly kill: Effect.Effect<void>
  /** Has it do nothing more, as when its network is gone; only of one that is a process of its own. */
  readonly freeze: Effect.Effect<void>
}

export interface Fleet {
  readonly queenUrl: string
  readonly hiveUrls: Readonly<Record<string, string>>
  readonly client: QueenClient["Service"]
  readonly scheduler: Scheduler["Service"]
  /** The secret of a key, by its name. */
  readonly keyOf: (name: string) => string
  readonly hive: (id: string) => FleetHive
  /** Starts a worker for the model on each of the hives; returns when the scheduler knows them. */
  readonly serve: (
    model: string,
    hives: ReadonlyArray<string>
  ) => Effect.Effect<ReadonlyArray<WorkerRecord & { readonly hive: string }>>
  /** All of them, on whatever hive. */
  readonly workers: Effect.Effect<ReadonlyArray<WorkerRecord>>
}

const slowWorkers = {
  loading: slowLoaderProgram,
  answering: slowerWorkerProgram
}

const tinyModel = new URL("../../src/worker/tiny/rbee-tiny-novelist-q8_0.gguf", import.meta.url).pathname

const decodeWorkers = Schema.decodeUnknownSync(
  Schema.fromJsonString(Schema.Struct({ workers: Schema.Array(WorkerRecord) }))
)

/** A device whose free memory is what the workers, as they were planned, leave of it. */
const cpuOf = (totalBytes: number) => {
  let workers: Workers["Service"] | undefined
  const list = Effect.gen(function* () {
    const known = workers === undefined ? [] : yield* workers.list
    // The hive itself counts those that are starting.
    const taken = known
      .filter(({ record }) => record.pid !== undefined && record.state !== "starting")
      .reduce((sum, { spec }) => sum + spec.memoryBytes, 0)
    return [new Device({ ...cpu, total_bytes: totalBytes, free_bytes: Math.max(0, totalBytes - taken) })]
  })
  return {
    layer: Layer.succeed(Devices, Devices.of({ list })),
    countWorkersOf: (context: Context.Context<Workers>) => {
      workers = Context.get(context, Workers)
    }
  }
}

const addModels = (
  home: string,
  names: ReadonlyArray<string>,
  variants: Readonly<Record<string, Metadata>>
) =>
  Effect.sync(() => {
    const folder = path.join(home, "data", "models")
    mkdirSync(folder, { recursive: true })
    for (const name of names) copyFileSync(tinyModel, path.join(folder, `${name}.gguf`))
    for (const [name, changes] of Object.entries(variants)) {
      writeTinyVariant(path.join(folder, `${name}.gguf`), changes)
    }
  })

const makeKeys = (home: string, wanted: ReadonlyArray<NewApiKey>) =>
  ApiKeys.use((keys) =>
    Effect.forEach(wanted, (one) =>
      Effect.map(keys.create(one), ({ key }) => [one.name, Redacted.value(key)] as const)
    )
  ).pipe(
    Effect.map((made) => new Map(made)),
    Effect.provide(
      ApiKeys.layerNoDeps.pipe(
        Layer.provide([Paths.layerAt(home), Pids.layer]),
        Layer.provide(NodeServices.layer)
      )
    ),
    Effect.orDie
  )

/** What a test asks of a hive by its address. */
const overHttp = (
  client: JobsClient["Service"],
  daemons: DaemonClient["Service"],
  id: string,
  url: string
) => ({
  workers: Effect.gen(function* () {
    const job = yield* client.submit({ url }, JSON.stringify({ operation: "worker_list", hive_id: id }))
    return decodeWorkers(resultOf(yield* Stream.runCollect(client.events({ url }, job)))).workers
  }).pipe(Effect.orDie),
  inventory: Effect.orDie(daemons.inventory({ url }))
})

const ended = (child: ChildProcess) =>
  Effect.callback<void>((resume) => {
    if (child.exitCode !== null || child.signalCode !== null) return resume(Effect.void)
    child.once("exit", () => resume(Effect.void))
  })

/** Sends a signal to a process, if it lives. */
export const signal = (pid: number | undefined, name: NodeJS.Signals) => {
  if (pid === undefined) return
  try {
    process.kill(pid, name)
  } catch {
    // It has ended already.
  }
}

const terminate = (child: ChildProcess) =>
  Effect.suspend(() => {
    child.kill("SIGCONT")
    child.kill("SIGTERM")
    return ended(child)
  })

const startProcess = (...given: ReadonlyArray<string>) =>
  Effect.acquireRelease(
    Effect.sync(() => spawn(process.execPath, [serveHiveProgram, ...given], { stdio: "ignore" })),
    terminate
  )

/**
 * A queen and hives on ports of their own, each with a home of its own, with real workers from the source tree. Returns
 * when the queen has seen all hives; all of it ends with the scope.
 */
export const startFleet = Effect.fnUntraced(function* (options: FleetOptions) {
  const {
    hive: changes = {},
    hives: ids,
    memoryBytes,
    models = [],
    processes = [],
    queen = {},
    variants = {}
  } = options
  const { slow = false } = options
  const worker = typeof slow === "string" ? slowWorkers[slow] : slow ? slowWorkerProgram : workerProgram
  const queenHome = yield* temporaryHome
  const secrets = yield* makeKeys(queenHome, options.keys ?? [])
  const context = yield* Layer.build(
    QueenClient.layer.pipe(Layer.provideMerge(queenLayer({ home: queenHome, settings: queen })), Layer.orDie)
  )
  const client = Context.get(context, QueenClient)
  const jobs = Context.get(context, JobsClient)
  const daemons = Context.get(context, DaemonClient)
  const { url: queenUrl } = client

  const inProcess = Effect.fnUntraced(function* (id: string, home: string) {
    const device = memoryBytes === undefined ? undefined : cpuOf(memoryBytes)
    const scope = yield* Scope.fork(yield* Effect.scope)
    const built = yield* Layer.build(
      hiveLayer({
        home,
        id,
        queenUrl,
        worker,
        settings: typeof changes === "function" ? changes(id) : changes,
        ...(device === undefined ? {} : { devices: device.layer })
      })
    ).pipe(Scope.provide(scope), Effect.orDie)
    device?.countWorkersOf(built)
    const url = yield* Effect.provideContext(boundUrl, built)
    const isNoProcess = Effect.die(new Error(`hive ${id} is no process of its own`))
    return {
      url,
      stop: Scope.close(scope, Exit.void),
      kill: isNoProcess,
      freeze: isNoProcess
    }
  })

  const ownProcess = Effect.fnUntraced(function* (id: string, home: string) {
    const child = yield* startProcess(home, id, queenUrl, worker)
    // A process that is started from the source takes its time on a machine that does more.
    const found = yield* until(
      client.run({ operation: "hive_list" }),
      (events) => resultOf(events).includes(`{"alias":"${id}"`),
      "1 minute"
    ).pipe(Effect.orDie)
    const { hives } = JSON.parse(resultOf(found))
    const { url } = hives.find(({ alias }: { readonly alias: string }) => alias === id)
    return {
      url: String(url),
      stop: terminate(child),
      freeze: Effect.sync(() => void child.kill("SIGSTOP")),
      kill: Effect.flatMap(overHttp(jobs, daemons, id, String(url)).workers, (workers) => {
        child.kill("SIGKILL")
        for (const { pid } of workers) signal(pid, "SIGKILL")
        return ended(child)
      })
    }
  })

  const started = new Map<string, FleetHive>()
  for (const id of ids) {
    const home = yield* temporaryHome
    yield* addModels(home, typeof models === "function" ? models(id) : models, variants)
    const hive = yield* processes.includes(id) ? ownProcess(id, home) : inProcess(id, home)
    started.set(id, { id, home, ...overHttp(jobs, daemons, id, hive.url), ...hive })
  }
  yield* until(Context.get(context, FleetView).snapshot(0), (stocks) =>
    ids.every((id) => stocks.some(({ hive }) => hive === id))
  ).pipe(Effect.orDie)

  const hive = (id: string) => {
    const found = started.get(id)
    if (found === undefined) throw new Error(`no hive ${id}`)
    return found
  }
  const scheduler = Context.get(context, Scheduler)
  const serve = Effect.fnUntraced(function* (model: string, on: ReadonlyArray<string>) {
    const spawned = yield* Effect.forEach(
      on,
      (hive) =>
        Effect.map(client.run({ ...spawnTiny, model, hive_id: hive }), (events) => ({
          ...workerOf(events),
          hive
        })),
      { concurrency: "unbounded" }
    )
    yield* until(scheduler.explain({ model, tokens: 1, prefixes: [] }), ({ candidates }) =>
      spawned.every(({ hive, id }) =>
        candidates.some(
          ({ where, rejection: whyNot }) => where === keyOf({ hive, id }) && whyNot === undefined
        )
      )
    ).pipe(Effect.orDie)
    return spawned
  })
  const fleet: Fleet = {
    queenUrl,
    hiveUrls: Object.fromEntries([...started.values()].map(({ id, url }) => [id, url])),
    client,
    scheduler,
    keyOf: (name) => secrets.get(name) ?? "",
    hive,
    serve,
    workers: Effect.map(
      Effect.forEach([...started.values()], ({ workers }) => workers),
      (lists) => lists.flat()
    )
  }
  return fleet
})
