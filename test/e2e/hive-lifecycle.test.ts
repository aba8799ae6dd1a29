import { watch, writeFileSync } from "node:fs"
import * as path from "node:path"
import { NodeHttpServer, NodeServices } from "@effect/platform-node"
import { assert, describe, it } from "@effect/vitest"
import { Context, Duration, Effect, Fiber, FileSystem, Layer, Option, Queue, Schema, Stream } from "effect"
import { HttpClient, HttpRouter, HttpServer, HttpServerRequest, HttpServerResponse } from "effect/http"
import { ChildProcess, ChildProcessSpawner } from "effect/process"
import { boundUrl } from "../../src/daemon/DaemonAddress.ts"
import { DaemonClient } from "../../src/daemon/DaemonClient.ts"
import { workerPool } from "../../src/http/workerPool.ts"
import { JobsClient } from "../../src/job/client/JobsClient.ts"
import { handle } from "../../src/job/Handlers.ts"
import { JobEvent } from "../../src/job/log/JobEvent.ts"
import { hiveQuery } from "../../src/operation/Routing.ts"
import { Paths } from "../../src/settings/Paths.ts"
import { Settings } from "../../src/settings/Settings.ts"
import { DetachedProcess } from "../../src/system/DetachedProcess.ts"
import { PidFile } from "../../src/system/PidFile.ts"
import { Pids } from "../../src/system/Pids.ts"
import { FakeHive } from "../../src/testing/FakeHive.ts"
import {
  Client,
  hiveLayer,
  inferTiny,
  narrationOf,
  resultOf,
  spawnTiny,
  temporaryHome,
  withHive,
  workerList,
  workerOf
} from "../support/hive.ts"
import { serveHiveProgram, workerProgram } from "../support/programs.ts"
import { until } from "../support/until.ts"

/** What a test needs that looks at a hive in another process. */
const outside = (home: string) =>
  Layer.mergeAll(PidFile.layer, DetachedProcess.layer, DaemonClient.layerNoDeps, JobsClient.layerNoDeps).pipe(
    Layer.provideMerge(Layer.mergeAll(Pids.layer, workerPool)),
    Layer.provideMerge(Layer.mergeAll(Settings.layerDefaults(), Paths.layerAt(home))),
    Layer.provideMerge(NodeServices.layer)
  )

/** Starts a hive as a process of its own, and waits until it listens. */
const startHive = Effect.fnUntraced(function* (home: string, ...args: ReadonlyArray<string>) {
  const processes = yield* DetachedProcess
  const runFiles = yield* PidFile
  const pids = yield* Pids
  const { exited, pid } = yield* processes.start({
    command: process.execPath,
    args: [serveHiveProgram, home, ...args],
    logFile: path.join(home, "hive.log")
  })
  yield* Effect.addFinalizer(() =>
    Effect.flatMap(pids.startTime(pid), (startTime) =>
      Option.isSome(startTime)
        ? pids.terminate({ pid, startTime: startTime.value }, "5 seconds")
        : Effect.void
    )
  )
  const running = yield* until(
    runFiles.read("hive-test"),
    (found) => Option.isSome(found) && found.value.pid === pid
  )
  const { url } = Option.getOrThrow(running)
  return { pid, exited, url, client: yield* Client.make(url) }
})

/** Kills a process as soon as a file with such a name is written below a folder. */
const killAt = (pid: number, folder: string, name: RegExp) =>
  Effect.callback<void>((resume) => {
    const watcher = watch(folder, (_event, file) => {
      if (file === null || !name.test(file)) return
      watcher.close()
      process.kill(pid, "SIGKILL")
      resume(Effect.void)
    })
  })

/** The command lines of the processes of this machine that name a file. */
const commandLinesWith = (file: string) =>
  ChildProcessSpawner.ChildProcessSpawner.use((spawner) =>
    spawner.lines(ChildProcess.make("ps", ["-Awwo", "args="]))
  ).pipe(
    Effect.map((lines) =>
      lines.filter(
        (line) => line.includes(file) && !line.includes(serveHiveProgram) && !line.startsWith("ps ")
      )
    )
  )

const killed = (pid: number, signal: NodeJS.Signals) => Effect.sync(() => process.kill(pid, signal))

const records = (home: string) =>
  FileSystem.FileSystem.use((fs) => fs.readDirectory(path.join(home, "state", "hives", "test", "workers")))

describe("a hive as a process", () => {
  it.live("leaves its workers when killed, and the next hive adopts them", () =>
    Effect.gen(function* () {
      const home = yield* temporaryHome
      yield* Effect.gen(function* () {
        const first = yield* startHive(home)
        const worker = workerOf(yield* first.client.events(spawnTiny))
        yield* killed(first.pid, "SIGKILL")
        yield* first.exited
        const pids = yield* Pids
        assert.isTrue(Option.isSome(yield* pids.startTime(worker.pid ?? 0)))

        const second = yield* startHive(home)
        const adopted = yield* Effect.provideService(workerList, Client, second.client)
        assert.deepStrictEqual(adopted, [worker])
        const answered = yield* second.client.events(inferTiny)
        assert.strictEqual(answered.at(-1)?.kind, "done")
        assert.notInclude(narrationOf(answered), "worker_spawn")
        assert.notInclude(narrationOf(answered), "worker_wait")

        yield* killed(second.pid, "SIGTERM")
        yield* second.exited
        assert.isTrue(Option.isNone(yield* pids.startTime(worker.pid ?? 0)))
        assert.deepStrictEqual(yield* records(home), [])
      }).pipe(Effect.provide(outside(home)))
    })
  )

  const moments: ReadonlyArray<readonly [moment: string, file: RegExp]> = [
    ["is about to start a worker's process", /\.log$/],
    ["writes the worker's record", /\.json\.new$/],
    ["has written the worker's record", /\.json$/]
  ]
  for (const [moment, file] of moments) {
    it.live(`that is killed when it ${moment} leaves no process that a next one does not end`, () =>
      Effect.gen(function* () {
        const home = yield* temporaryHome
        const worker = path.join(home, "worker.ts")
        writeFileSync(worker, `await import(${JSON.stringify(workerProgram)})`)
        yield* Effect.gen(function* () {
          const first = yield* startHive(home, "test", "http://127.0.0.1:9", worker)
          const folder = path.join(home, "state", "hives", "test", "workers")
          const isKilled = yield* Effect.forkChild(killAt(first.pid, folder, file))
          yield* Effect.forkChild(first.client.submit(spawnTiny), { startImmediately: true })
          yield* Fiber.join(isKilled)
          yield* first.exited
          const second = yield* startHive(home, "test", "http://127.0.0.1:9", worker)
          yield* killed(second.pid, "SIGTERM")
          yield* second.exited
          yield* until(commandLinesWith(worker), (lines) => lines.length === 0)
          const left = yield* records(home)
          assert.deepStrictEqual(
            left.filter((name) => name.endsWith(".json")),
            []
          )
        }).pipe(Effect.provide(outside(home)))
      })
    )
  }

  it.live("leaves a busy worker when killed, and the next hive needs no load", () =>
    Effect.gen(function* () {
      const home = yield* temporaryHome
      yield* Effect.gen(function* () {
        const first = yield* startHive(home)
        const worker = workerOf(yield* first.client.events(spawnTiny))
        const long = yield* first.client.submit({ ...inferTiny, max_tokens: 400 })
        yield* Stream.runDrain(Stream.takeUntil(first.client.follow(long), ({ kind }) => kind === "token"))
        yield* killed(first.pid, "SIGKILL")
        yield* first.exited

        const second = yield* startHive(home)
        const [adopted] = yield* Effect.provideService(workerList, Client, second.client)
        assert.deepStrictEqual(
          [adopted?.id, adopted?.pid, adopted?.port],
          [worker.id, worker.pid, worker.port]
        )
        const startedAt = performance.now()
        const answered = yield* second.client.events(inferTiny)
        assert.strictEqual(answered.at(-1)?.kind, "done")
        assert.notInclude(narrationOf(answered), "worker_spawn")
        assert.isBelow(performance.now() - startedAt, 5000)
      }).pipe(Effect.provide(outside(home)))
    })
  )

  it.live("does not touch another hive's workers if its own port is occupied", () =>
    Effect.gen(function* () {
      const home = yield* temporaryHome
      yield* Effect.gen(function* () {
        const first = yield* startHive(home)
        const worker = workerOf(yield* first.client.events(spawnTiny))
        yield* killed(first.pid, "SIGKILL")
        yield* first.exited
        const other = yield* FakeHive.makeRaw((_request, response) => void response.end("mine"))
        const port = Number(new URL(other.url).port)
        const error = yield* Effect.flip(Effect.scoped(Layer.build(Layer.fresh(hiveLayer({ home, port })))))
        assert.include(String(error), "is in use")
        const pids = yield* Pids
        assert.isTrue(Option.isSome(yield* pids.startTime(worker.pid ?? 0)))
        const second = yield* startHive(home)
        assert.strictEqual((yield* Effect.provideService(workerList, Client, second.client)).length, 1)
      }).pipe(Effect.provide(outside(home)))
    })
  )

  it.live("restarts an adopted worker that dies, and removes records of workers that died unobserved", () =>
    Effect.gen(function* () {
      const home = yield* temporaryHome
      yield* Effect.gen(function* () {
        const first = yield* startHive(home)
        const stays = workerOf(yield* first.client.events(spawnTiny))
        const dies = workerOf(yield* first.client.events(spawnTiny))
        yield* killed(first.pid, "SIGKILL")
        yield* first.exited
        yield* killed(dies.pid ?? 0, "SIGKILL")

        const second = yield* startHive(home)
        const list = Effect.provideService(workerList, Client, second.client)
        assert.deepStrictEqual(yield* list, [stays])
        yield* killed(stays.pid ?? 0, "SIGKILL")
        const [again] = yield* until(
          list,
          ([worker]) => worker?.state === "ready" && worker.pid !== stays.pid
        )
        assert.strictEqual(again?.id, stays.id)
      }).pipe(Effect.provide(outside(home)))
    })
  )

  it.live("refuses the id of a running hive, and does not touch its workers", () =>
    Effect.gen(function* () {
      const home = yield* temporaryHome
      yield* Effect.gen(function* () {
        const first = yield* startHive(home)
        const worker = workerOf(yield* first.client.events(spawnTiny))
        const error = yield* Effect.flip(Effect.scoped(Layer.build(hiveLayer({ home }))))
        assert.strictEqual(error._tag, "HiveAlreadyRuns")
        assert.include(error.message, String(first.pid))
        assert.deepStrictEqual(yield* Effect.provideService(workerList, Client, first.client), [worker])
      }).pipe(Effect.provide(outside(home)))
    })
  )
})

const Echo = Schema.Struct({ text: Schema.String })
class Shout extends Schema.Class<Shout>("Shout")({
  operation: Schema.tag("shout"),
  hive_id: Schema.String,
  text: Schema.String
}) {
  static readonly routing = hiveQuery
}

const Beat = Schema.Struct({
  hive_id: Schema.String,
  url: Schema.String,
  workers: Schema.Array(Schema.Record(Schema.String, Schema.Json))
})
type Beat = typeof Beat.Type
const decodeBeat = Schema.decodeUnknownSync(Beat)

describe("a hive in an application", () => {
  it.live("handles an operation of the application", () =>
    Effect.gen(function* () {
      const home = yield* temporaryHome
      const shouting = handle(Shout, ({ text }) => Stream.make(JobEvent.result({ text: text.toUpperCase() })))
      yield* Effect.gen(function* () {
        const client = yield* Client
        const events = yield* client.events({ operation: "shout", hive_id: "any", text: "hello" })
        assert.deepStrictEqual(Schema.decodeUnknownSync(Schema.fromJsonString(Echo))(resultOf(events)), {
          text: "HELLO"
        })
      }).pipe(
        Effect.provide(Layer.mergeAll(Client.layer, shouting).pipe(Layer.provideMerge(hiveLayer({ home }))))
      )
    })
  )

  it.live("reports an occupied port", () =>
    withHive(
      Effect.gen(function* () {
        const { port } = new URL(yield* boundUrl)
        const home = yield* temporaryHome
        const error = yield* Effect.flip(
          Effect.scoped(Layer.build(Layer.fresh(hiveLayer({ home, port: Number(port) }))))
        )
        assert.strictEqual(error._tag, "CannotListen")
        assert.include(error.message, `Port ${port} on 127.0.0.1 is in use`)
      })
    )
  )

  it.live("lists its devices, and rejects the queen's operations", () =>
    withHive(
      Effect.gen(function* () {
        const url = yield* boundUrl
        const { peer } = yield* Client
        const jobs = yield* JobsClient
        for (const where of ["/v1/capabilities", "/capabilities"]) {
          const body = yield* HttpClient.get(url + where).pipe(Effect.flatMap((response) => response.json))
          const { devices } = Schema.decodeUnknownSync(
            Schema.Struct({ devices: Schema.Array(Schema.Record(Schema.String, Schema.Unknown)) })
          )(body)
          assert.deepStrictEqual(Object.keys(devices.at(-1) ?? {}).toSorted(), [
            "compute_capability",
            "device_type",
            "id",
            "name",
            "vram_bytes",
            "vram_gb"
          ])
          assert.deepInclude(devices.at(-1), { id: "CPU-0", device_type: "cpu", compute_capability: null })
        }
        const refused = (body: string) => Effect.flip(jobs.submit(peer, body))
        const queens = yield* refused('{"operation":"hive_list"}')
        assert.deepInclude(queens, { _tag: "PeerRefused", status: 400, code: "WrongDaemon" })
        const unknown = yield* refused('{"operation":"dance","hive_id":"x"}')
        assert.deepInclude(unknown, { _tag: "PeerRefused", status: 400, code: "UnknownOperation" })
        assert.include(unknown.message, "worker_spawn")
        assert.notInclude(unknown.message, "hive_list")
      })
    )
  )

  it.live("sends a heartbeat with its workers at once", () =>
    Effect.gen(function* () {
      const beats = yield* Queue.unbounded<Beat>()
      const queen = HttpRouter.serve(
        HttpRouter.add(
          "POST",
          "/v1/heartbeat",
          Effect.gen(function* () {
            const request = yield* HttpServerRequest.HttpServerRequest
            yield* Queue.offer(beats, decodeBeat(yield* request.json))
            return HttpServerResponse.jsonUnsafe({ status: "ok" })
          })
        ),
        { disableListenLog: true, disableLogger: true }
      ).pipe(Layer.provideMerge(NodeHttpServer.layerTest))
      const scope = yield* Effect.scope
      const context = yield* Layer.buildWithScope(queen, scope)
      const queenUrl = HttpServer.formatAddress(Context.get(context, HttpServer.HttpServer).address)
      yield* withHive(
        Effect.gen(function* () {
          const client = yield* Client
          const first = yield* Queue.take(beats)
          assert.deepInclude(first, { hive_id: "test", url: yield* boundUrl, workers: [] })
          const worker = workerOf(yield* client.events(spawnTiny))
          const later = yield* until(Queue.take(beats), ({ workers }) => workers[0]?.["state"] === "ready")
          assert.deepInclude(later.workers[0], {
            worker_id: worker.id,
            model_id: "rbee:tiny",
            health_status: "healthy",
            url: `http://127.0.0.1:${worker.port}`
          })
        }),
        { queenUrl: queenUrl.replace("0.0.0.0", "127.0.0.1"), heartbeatEvery: Duration.millis(100) }
      )
    })
  )
})
