// A complete queen and hive in this process, with one worker process: the small model that ships with rbee continues a
// prompt. `node scratchpad/one-process.ts [prompt]`
import { NodeRuntime, NodeServices } from "@effect/platform-node"
import { Console, Effect, FileSystem, Layer, Option, Schedule, Stream } from "effect"
import { Devices, Engines, Hive, workerPool } from "../src/hive/index.ts"
import { boundUrl, JobsClient, readFailure, readNarration, readText } from "../src/job/index.ts"
import {
  DetachedProcess,
  HiveRegistry,
  hivePool,
  HivesConf,
  Paths,
  Pids,
  Queen,
  PidFile,
  Settings,
  Token
} from "../src/queen/index.ts"

// An application uses `Engines.layerNoDeps`, which runs the worker of the package.
const worker = new URL("../src/worker/main.ts", import.meta.url).pathname

const settings = (queenUrl: string) =>
  Settings.layerDefaults({ queen: { port: 0 }, hive: { id: "atlas", port: 0, queenUrl } })

const machine = (folder: string) =>
  Layer.mergeAll(PidFile.layer, DetachedProcess.layer, HivesConf.layerMemory([])).pipe(
    Layer.provideMerge(Pids.layer),
    Layer.provideMerge(Layer.merge(Paths.layerAt(folder), Token.layerMemory()))
  )

const queen = Queen.layerNoDeps.pipe(Layer.provide(hivePool), Layer.provide(settings("http://127.0.0.1:9")))

const hive = (queenUrl: string) =>
  Hive.layerNoDeps.pipe(
    Layer.provide([Devices.layerNoDeps, Engines.layerWith(worker), workerPool]),
    Layer.provide(settings(queenUrl))
  )

const infer = (queenUrl: string, prompt: string) =>
  Effect.gen(function* () {
    const client = yield* JobsClient
    const operation = { operation: "infer", hive_id: "atlas", model: "rbee:tiny", prompt }
    const body = JSON.stringify({ ...operation, max_tokens: 24, temperature: 0 })
    const id = yield* client.submit({ url: queenUrl }, body)
    let text = prompt
    yield* Stream.runForEach(client.events({ url: queenUrl }, id), ({ json, kind }) => {
      if (kind === "token")
        text += Option.match(readText(json), { onNone: () => "", onSome: ({ text }) => text })
      if (kind === "narration") {
        return Option.match(readNarration(json), {
          onNone: () => Effect.void,
          onSome: ({ message }) => Console.log(message)
        })
      }
      const failure = Option.getOrUndefined(readFailure(json))?.error.message
      return failure === undefined ? Effect.void : Effect.fail(failure)
    })
    yield* Console.log(`Answer: ${text}`)
  })

const program = Effect.gen(function* () {
  const fs = yield* FileSystem.FileSystem
  const folder = yield* fs.makeTempDirectoryScoped({ prefix: "rbee-one-process-" })
  const services = yield* Layer.build(Layer.provide(queen, machine(folder)))
  const queenUrl = yield* Effect.provideContext(boundUrl, services)
  yield* Layer.build(Layer.provide(hive(queenUrl), machine(folder)))

  // The queen knows the hive after its first heartbeat.
  const { find } = yield* Effect.provideContext(HiveRegistry, services)
  yield* Effect.retry(find("atlas"), { schedule: Schedule.spaced("20 millis"), times: 250 })

  const [prompt = "It was a truth universally acknowledged that"] = process.argv.slice(2)
  yield* Effect.provideContext(infer(queenUrl, prompt), services)
})

NodeRuntime.runMain(Effect.scoped(program).pipe(Effect.provide(NodeServices.layer)))
