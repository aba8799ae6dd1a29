// A custom operation, added outside of rbee: its class, its handler, and a command that submits it. The queen does not know
// the operation, and forwards it to the hive that it names. `node scratchpad/own-operation.ts [name]`
import { NodeRuntime, NodeServices } from "@effect/platform-node"
import { Console, Effect, FileSystem, Layer, Schedule, Schema, Stream } from "effect"
import { Argument, Command } from "effect/cli"
import { Devices, Engines, Hive, workerPool } from "../src/hive/index.ts"
import { boundUrl, handle, JobsClient, withNarration } from "../src/job/index.ts"
import { HiveId, hiveQuery } from "../src/operation/index.ts"
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

class Greet extends Schema.Class<Greet>("Greet")({
  operation: Schema.tag("greet"),
  hive_id: HiveId,
  name: Schema.NonEmptyString
}) {
  static readonly routing = hiveQuery
}

const greeter = handle(Greet, ({ hive_id, name }, job, emit) =>
  withNarration(job, emit, "greeter", (say) =>
    Effect.as(say("greet", `Looking for a word for ${name}`), { greeting: `Hello ${name}, from ${hive_id}` })
  )
)

const settings = (queenUrl: string) =>
  Settings.layerDefaults({ queen: { port: 0 }, hive: { id: "atlas", port: 0, queenUrl } })

const machine = (folder: string) =>
  Layer.mergeAll(PidFile.layer, DetachedProcess.layer, HivesConf.layerMemory([])).pipe(
    Layer.provideMerge(Pids.layer),
    Layer.provideMerge(Layer.merge(Paths.layerAt(folder), Token.layerMemory()))
  )

const queen = Queen.layerNoDeps.pipe(Layer.provide(hivePool), Layer.provide(settings("http://127.0.0.1:9")))

const hive = (queenUrl: string) =>
  greeter.pipe(
    Layer.provideMerge(Hive.layerNoDeps),
    Layer.provide([Devices.layerNoDeps, Engines.layerNoDeps, workerPool]),
    Layer.provide(settings(queenUrl))
  )

const greet = (queenUrl: string) =>
  Command.make("greet", { name: Argument.String("name") }, ({ name }) =>
    Effect.gen(function* () {
      const client = yield* JobsClient
      const operation = yield* Schema.encodeEffect(Schema.fromJsonString(Greet))(
        new Greet({ hive_id: "atlas", name })
      )
      const id = yield* client.submit({ url: queenUrl }, operation)
      yield* Stream.runForEach(client.events({ url: queenUrl }, id), ({ json, kind }) =>
        Console.log(`${kind} ${json}`)
      )
    })
  )

const program = Effect.gen(function* () {
  const fs = yield* FileSystem.FileSystem
  const folder = yield* fs.makeTempDirectoryScoped({ prefix: "rbee-own-operation-" })
  const services = yield* Layer.build(Layer.provide(queen, machine(folder)))
  const queenUrl = yield* Effect.provideContext(boundUrl, services)
  yield* Layer.build(Layer.provide(hive(queenUrl), machine(folder)))

  // The queen knows the hive after its first heartbeat.
  const { find } = yield* Effect.provideContext(HiveRegistry, services)
  yield* Effect.retry(find("atlas"), { schedule: Schedule.spaced("20 millis"), times: 250 })

  const args = process.argv.slice(2)
  yield* Command.runWith(greet(queenUrl), { version: "1.0.0" })(args.length === 0 ? ["Ada"] : args).pipe(
    Effect.provideContext(services)
  )
})

NodeRuntime.runMain(Effect.scoped(program).pipe(Effect.provide(NodeServices.layer)))
