// A complete queen and hive in this process, with one worker process: the small model that ships with rbee continues a
// prompt. `node scratchpad/one-process.ts [prompt]`
import { NodeRuntime } from "@effect/platform-node"
import { Console, Effect, Layer, Schedule, Stream } from "effect"
import { Hive } from "../src/hive/index.ts"
import { boundUrl, decodeEvents, type Event, JobsClient, Settings } from "../src/job/index.ts"
import { HiveRegistry, hivePool, Queen } from "../src/queen/index.ts"

// On free ports, without configuration. An application uses `Queen.layer` and `Hive.layer`.
const queen = Queen.layerTest()
const hive = (queenUrl: string) => Hive.layerTest({ hive: { id: "atlas", queenUrl } })

const client = JobsClient.layerNoDeps.pipe(Layer.provide(hivePool), Layer.provide(Settings.layerDefaults()))

/** The text of an event that is part of the answer; all others are shown. */
const textOf = (event: Event) => {
  switch (event._tag) {
    case "Token":
      return Effect.succeed(event.text)
    case "Narration":
      return Effect.as(Console.log(event.message), "")
    case "Failed":
      return Effect.fail(event.error.message)
    default:
      return Effect.succeed("")
  }
}

const infer = Effect.fn(function* (queenUrl: string, prompt: string) {
  const jobs = yield* JobsClient
  const operation = { operation: "infer", hive_id: "atlas", model: "rbee:tiny", prompt }
  const id = yield* jobs.submit(
    { url: queenUrl },
    JSON.stringify({ ...operation, max_tokens: 24, temperature: 0 })
  )
  const text = jobs
    .events({ url: queenUrl }, id)
    .pipe(decodeEvents, Stream.mapEffect(textOf), Stream.mkString)
  yield* Console.log(`Answer: ${prompt}${yield* text}`)
})

const program = Effect.gen(function* () {
  const services = yield* Layer.build(queen)
  const queenUrl = yield* Effect.provideContext(boundUrl, services)
  yield* Layer.build(hive(queenUrl))

  // The queen knows the hive after its first heartbeat.
  const { find } = yield* Effect.provideContext(HiveRegistry, services)
  yield* Effect.retry(find("atlas"), { schedule: Schedule.spaced("20 millis"), times: 250 })

  const [prompt = "It was a truth universally acknowledged that"] = process.argv.slice(2)
  yield* infer(queenUrl, prompt)
})

NodeRuntime.runMain(Effect.scoped(program).pipe(Effect.provide(client)))
