// Forwarding inside another program: one operation for each of two hives, concurrently.
// `node scratchpad/forward.ts`
import { NodeRuntime } from "@effect/platform-node"
import { Console, Effect, Layer, Stream } from "effect"
import { type Event, JobEvent, Settings } from "../src/job/index.ts"
import { WorkerSpawn } from "../src/operation/index.ts"
import { HiveDirectory, HiveForwarder } from "../src/queen/index.ts"
import { FakeHive, type Script } from "../src/testing/index.ts"

// Each hive sends one narration and a result; in an application the hives are other machines.
const hive =
  (name: string): Script =>
  ({ fields }) =>
    Stream.make(
      JobEvent.narration("hv-worker", "worker_spawn", `${name} starts ${String(fields["model"])}`),
      JobEvent.result({ id: `worker-of-${name}`, state: "ready" })
    )

const show = (hiveId: string, event: Event) => {
  switch (event._tag) {
    case "Narration":
      return Console.log(`${hiveId}: ${event.message}`)
    case "Result":
      return Console.log(`${hiveId}: result ${JSON.stringify(event.data)}`)
    default:
      return Effect.void
  }
}

const program = Effect.gen(function* () {
  const atlas = yield* FakeHive.make(hive("atlas"))
  const boreas = yield* FakeHive.make(hive("boreas"))

  const forwarder = HiveForwarder.layer.pipe(
    Layer.provide(HiveDirectory.layerMemory({ atlas: atlas.url, boreas: boreas.url })),
    Layer.provide(Settings.layerDefaults())
  )

  const spawnOn = (hiveId: string) =>
    Stream.unwrap(
      HiveForwarder.useSync(({ forward }) =>
        forward(new WorkerSpawn({ hive_id: hiveId, model: "rbee:tiny", worker: "cpu", device: 0 }))
      )
    ).pipe(Stream.runForEach((event) => show(hiveId, event)))

  yield* Effect.all([spawnOn("atlas"), spawnOn("boreas")], { concurrency: 2 }).pipe(Effect.provide(forwarder))

  // An unknown hive is a typed error with a sentence for the user.
  const error = yield* Effect.flip(Effect.provide(spawnOn("nowhere"), forwarder))
  yield* Console.log(`${error._tag}: ${error.message}`)
})

NodeRuntime.runMain(Effect.scoped(program))
