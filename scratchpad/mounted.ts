// A queen below a path of an application that has an HTTP server and routes of its own. `node scratchpad/mounted.ts`
import { createServer } from "node:http"
import { NodeHttpClient, NodeHttpServer, NodeRuntime } from "@effect/platform-node"
import { Console, Effect, Layer } from "effect"
import { HttpClient, HttpRouter, HttpServer, HttpServerResponse } from "effect/http"
import { endStreams } from "../src/job/index.ts"
import { Queen } from "../src/queen/index.ts"

const hello = HttpRouter.add("GET", "/hello", HttpServerResponse.text("Hello from the application"))

// An application uses `Queen.routes("/llm")`, which takes its settings from the environment and the configuration folder.
const routes = Layer.provideMerge(hello, Queen.routesTest("/llm"))

// Above the server, so that every stream of a job ends before the server closes.
const application = endStreams.pipe(
  Layer.provide(HttpRouter.serve(routes, { disableListenLog: true, disableLogger: true })),
  Layer.provideMerge(NodeHttpServer.layer(createServer, { host: "127.0.0.1", port: 0 }))
)

const show = (path: string) =>
  HttpServer.addressFormattedWith((address) =>
    HttpClient.get(`${address}${path}`).pipe(
      Effect.flatMap((response) => response.text),
      Effect.flatMap((text) => Console.log(`${path}: ${text}`))
    )
  )

// Clients of the queen take http://127.0.0.1:<port>/llm as its address, and OpenAI clients http://127.0.0.1:<port>/llm/v1.
const program = Effect.forEach(["/hello", "/llm/health", "/llm/v1/models"], show, { discard: true })

NodeRuntime.runMain(Effect.provide(program, [application, NodeHttpClient.layerUndici]))
