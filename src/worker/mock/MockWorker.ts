import { createServer } from "node:http"
import * as NodeHttpServer from "@effect/platform-node/NodeHttpServer"
import * as Effect from "effect/Effect"
import * as HttpRouter from "effect/http/HttpRouter"
import * as HttpServerRequest from "effect/http/HttpServerRequest"
import * as HttpServerResponse from "effect/http/HttpServerResponse"
import * as Layer from "effect/Layer"
import { app } from "../http.ts"
import { Replays } from "../Replays.ts"
import { Requests } from "../Requests.ts"
import { Served } from "../Served.ts"
import { injectFaults } from "./injectFaults.ts"
import { mockEngine, type MockText } from "./mockEngine.ts"
import { MockFaults } from "./MockFaults.ts"
import type { MockMode } from "./MockMode.ts"
import { addModeRoutes } from "./modeRoutes.ts"

/** What a mock worker serves, where, and the mode in which it starts. */
export interface MockWorkerOptions extends MockText {
  readonly host: string
  readonly port: number
  readonly model: string
  readonly mode: MockMode
}

/** The id of the model that a mock worker serves in the mode `wrong-model`. */
export const wrongModel = "mock:wrong-model"

const garbage = 'data: {"choices":[{"delta":{"content":\n\n'

const served = ({ model, ...text }: MockWorkerOptions) =>
  Layer.effect(
    Served,
    Effect.map(MockFaults, (faults) => {
      const engine = mockEngine(text)
      return Served.of({
        // Read for each request, so that a request for the right model is refused in the mode `wrong-model`.
        get modelId() {
          return faults.mode().mode === "wrong-model" ? wrongModel : model
        },
        engine: () => engine
      })
    })
  )

/** The worker's list of models reads the id once; in the mode `wrong-model` this answers in its place. */
const wrongModels = HttpRouter.middleware(
  Effect.map(
    MockFaults,
    (faults) => (respond) =>
      Effect.flatMap(HttpServerRequest.HttpServerRequest, ({ url }) =>
        url === "/v1/models" && faults.mode().mode === "wrong-model"
          ? Effect.succeed(
              HttpServerResponse.jsonUnsafe({ object: "list", data: [{ id: wrongModel, object: "model" }] })
            )
          : respond
      )
  ),
  { global: true }
)

const modeRoutes = Layer.effectDiscard(addModeRoutes((respond) => respond))

/** A server with the HTTP API of the built-in worker, a text in place of a model, and faults. */
export const mockWorker = (options: MockWorkerOptions) =>
  HttpRouter.serve(Layer.mergeAll(app, modeRoutes, wrongModels, injectFaults(garbage)), {
    disableLogger: true,
    disableListenLog: true
  }).pipe(
    Layer.provide([served(options), Replays.layer, Requests.layer]),
    Layer.provide(MockFaults.layer(options.mode)),
    Layer.provide(
      NodeHttpServer.layer(createServer, {
        host: options.host,
        port: options.port,
        gracefulShutdownTimeout: "500 millis"
      })
    )
  )
