// Uses a model of the fleet through effect/ai: text, a stream and a structured value.
// `rbee queen start && rbee hive start`, then `node scratchpad/language-model.ts [url] [model]`
import { NodeHttpClient, NodeRuntime } from "@effect/platform-node"
import { Console, Effect, Layer, Schema, Stream } from "effect"
import { LanguageModel } from "effect/ai"
import { RbeeLanguageModel } from "../src/ai/index.ts"

const [url = "http://127.0.0.1:8500", model = "rbee:tiny"] = process.argv.slice(2)

const Opinion = Schema.Struct({ verdict: Schema.Literals(["agreeable", "tedious"]), certain: Schema.Boolean })

const program = Effect.gen(function* () {
  const { text } = yield* LanguageModel.generateText({
    prompt: "It was a truth universally acknowledged that"
  })
  yield* Console.log(`text: ${text}`)
  yield* LanguageModel.streamText({ prompt: "She was" }).pipe(
    Stream.runForEach((part) =>
      part.type === "text-delta" ? Console.log(`delta: ${part.delta}`) : Effect.void
    )
  )
  const { value } = yield* LanguageModel.generateObject({ prompt: "Mr Collins", schema: Opinion })
  yield* Console.log(`value: ${JSON.stringify(value)}`)
})

const rbee = RbeeLanguageModel.layer({ url, model, parameters: { max_tokens: 64, temperature: 0 } }).pipe(
  Layer.provide(NodeHttpClient.layerUndici)
)

NodeRuntime.runMain(Effect.provide(program, rbee))
