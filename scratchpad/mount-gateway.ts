// The OpenAI, Anthropic and Ollama endpoints in an HTTP server of your own. Instead of a fleet, the program itself answers:
// its model repeats what it is told. `node scratchpad/mount-gateway.ts [text]`
import { NodeHttpServer, NodeRuntime } from "@effect/platform-node"
import { Console, Effect, Layer, Schema } from "effect"
import { HttpBody, HttpClient, HttpClientResponse, HttpRouter } from "effect/http"
import {
  ApiKeys,
  gatewayRoutes,
  JobEvent,
  Jobs,
  OperationRouter,
  pickModel,
  publicModels,
  Settings,
  type StoredModel,
  Token,
  Upstream
} from "../src/gateway/index.ts"
import { UnknownOperation } from "../src/operation/index.ts"

const parrot: StoredModel = {
  id: "parrot",
  size_bytes: 0,
  memory_bytes: 0,
  worker_context: 4096,
  worker_slots: 1,
  token_bytes: 0,
  architecture: "none",
  parameters: 0,
  context_length: 4096,
  quantisation: "none",
  chat_template: true
}
const models = publicModels([{ hive: "here", models: [parrot] }], {})

/** A piece of an answer, as an engine with OpenAI's API writes it. */
const chunk = (content: string, finish_reason: "stop" | null = null) =>
  new JobEvent("chunk", JSON.stringify({ choices: [{ index: 0, delta: { content }, finish_reason }] }))

const upstream = Layer.succeed(
  Upstream,
  Upstream.of({
    models: Effect.succeed(models),
    find: (name) => Effect.fromResult(pickModel(models, name)),
    workers: Effect.succeed([]),
    complete: ({ body }) => {
      const texts = Array.isArray(body["messages"]) ? body["messages"].map(({ content }) => content) : []
      return (_job, emit) => emit([chunk("You said: "), chunk(String(texts.at(-1))), chunk("", "stop")])
    }
  })
)

// This program downloads and deletes no models.
const noOperations = Layer.succeed(
  OperationRouter,
  OperationRouter.of({
    route: (operation) => Effect.fail(new UnknownOperation({ operation: operation.slice(0, 64), known: [] }))
  })
)

const server = HttpRouter.serve(gatewayRoutes, { disableListenLog: true, disableLogger: true }).pipe(
  Layer.provide([upstream, noOperations, Jobs.layer, ApiKeys.layerMemory(), Token.layerMemory()]),
  Layer.provide(Settings.layerDefaults()),
  // With a client for this server; an application chooses a port.
  Layer.provideMerge(NodeHttpServer.layerTest)
)

const [text = "hello"] = process.argv.slice(2)

const ask = Effect.fn("ask")(function* <A>(path: string, answer: Schema.Decoder<A>) {
  const body = {
    model: "parrot",
    max_tokens: 100,
    stream: false,
    messages: [{ role: "user", content: text }]
  }
  const response = yield* HttpClient.post(path, { body: HttpBody.jsonUnsafe(body) })
  return yield* HttpClientResponse.schemaBodyJson(answer)(response)
})

const Text = Schema.Struct({ content: Schema.String })
const OpenAi = Schema.Struct({ choices: Schema.Tuple([Schema.Struct({ message: Text })]) })
const Anthropic = Schema.Struct({ content: Schema.Tuple([Schema.Struct({ text: Schema.String })]) })
const Ollama = Schema.Struct({ message: Text })

const program = Effect.gen(function* () {
  const openAi = yield* ask("/v1/chat/completions", OpenAi)
  yield* Console.log(`OpenAI: ${openAi.choices[0].message.content}`)
  const anthropic = yield* ask("/v1/messages", Anthropic)
  yield* Console.log(`Anthropic: ${anthropic.content[0].text}`)
  const ollama = yield* ask("/api/chat", Ollama)
  yield* Console.log(`Ollama: ${ollama.message.content}`)
})

NodeRuntime.runMain(Effect.provide(program, server))
