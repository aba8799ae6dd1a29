// A custom operation, added outside of rbee: its class, its handler, and a command that submits it. The queen does not know
// the operation, and forwards it to the hive that it names. `node scratchpad/own-operation.ts [name]`
import { NodeRuntime, NodeServices } from "@effect/platform-node"
import { Console, Effect, Layer, Schedule, Schema, Stream } from "effect"
import { Argument, Command } from "effect/cli"
import { Hive } from "../src/hive/index.ts"
import {
  boundUrl,
  decodeEvents,
  type Event,
  handle,
  JobsClient,
  Settings,
  withNarration
} from "../src/job/index.ts"
import { HiveId, hiveQuery } from "../src/operation/index.ts"
import { hivePool, HiveRegistry, Queen } from "../src/queen/index.ts"

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

// On free ports, without configuration. An application uses `Queen.layer` and `Hive.layer`.
const queen = Queen.layerTest()
const hive = (queenUrl: string) =>
  Layer.provideMerge(greeter, Hive.layerTest({ hive: { id: "atlas", queenUrl } }))

const client = JobsClient.layerNoDeps.pipe(Layer.provide(hivePool), Layer.provide(Settings.layerDefaults()))

const show = (event: Event) => {
  switch (event._tag) {
    case "Narration":
      return Console.log(event.message)
    case "Result":
      return Console.log(`result ${JSON.stringify(event.data)}`)
    case "Done":
      return Console.log(`done in ${event.run_ms} ms`)
    default:
      return Effect.void
  }
}

// A program with a `HiveForwarder` needs no queen: `forward(Greet, new Greet({ hive_id: "atlas", name }))`.
const greet = (queenUrl: string) =>
  Command.make("greet", { name: Argument.String("name") }, ({ name }) =>
    Effect.gen(function* () {
      const jobs = yield* JobsClient
      const operation = yield* Schema.encodeEffect(Schema.fromJsonString(Greet))(
        new Greet({ hive_id: "atlas", name })
      )
      const id = yield* jobs.submit({ url: queenUrl }, operation)
      yield* Stream.runForEach(decodeEvents(jobs.events({ url: queenUrl }, id)), show)
    })
  )

const program = Effect.gen(function* () {
  const services = yield* Layer.build(queen)
  const queenUrl = yield* Effect.provideContext(boundUrl, services)
  yield* Layer.build(hive(queenUrl))

  // The queen knows the hive after its first heartbeat.
  const { find } = yield* Effect.provideContext(HiveRegistry, services)
  yield* Effect.retry(find("atlas"), { schedule: Schedule.spaced("20 millis"), times: 250 })

  const args = process.argv.slice(2)
  yield* Command.runWith(greet(queenUrl), { version: "1.0.0" })(args.length === 0 ? ["Ada"] : args)
})

NodeRuntime.runMain(Effect.scoped(program).pipe(Effect.provide([client, NodeServices.layer])))
