// The real forwarder with a mocked HTTP client, as in a test: two hives without sockets.
// `node scratchpad/mocked.ts`
import { NodeRuntime } from "@effect/platform-node"
import { Console, Effect, Layer, Stream } from "effect"
import { JobEvent, JobFailed, Settings } from "../src/job/index.ts"
import { Infer } from "../src/operation/index.ts"
import { HiveDirectory, HiveForwarder } from "../src/queen/index.ts"
import { fakeHttpClient } from "../src/testing/index.ts"

const hives = fakeHttpClient({
  "http://atlas:8081": ({ fields }) =>
    Stream.concat(
      Stream.fromIterable(["Once", " upon", " a", " time"].map((text) => JobEvent.token(text))),
      Stream.make(JobEvent.result({ text: "Once upon a time", prompt: String(fields["prompt"]) }))
    ),
  "http://boreas:8081": () =>
    Stream.fail(new JobFailed({ code: "ModelNotFound", sentence: "boreas has no such model" }))
})

const forwarder = HiveForwarder.layerNoDeps.pipe(
  Layer.provide(hives),
  Layer.provide(
    HiveDirectory.layerMemory({
      atlas: "http://atlas:8081",
      boreas: "http://boreas:8081",
      gone: "http://gone:8081"
    })
  ),
  Layer.provide(Settings.layerDefaults())
)

const ask = (hiveId: string) =>
  Stream.unwrap(
    HiveForwarder.useSync(({ forward }) =>
      forward(
        new Infer({ hive_id: hiveId, model: "rbee:tiny", prompt: "Tell", max_tokens: 4, temperature: 0 })
      )
    )
  ).pipe(
    Stream.runForEach((event) =>
      event._tag === "Token" ? Console.log(`${hiveId}: token '${event.text}'`) : Effect.void
    ),
    Effect.catch((error) => Console.log(`${hiveId}: ${error._tag}: ${error.message}`))
  )

const program = Effect.forEach(["atlas", "boreas", "gone"], ask, { concurrency: 3, discard: true })

NodeRuntime.runMain(Effect.provide(program, forwarder))
