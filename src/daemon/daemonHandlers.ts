import * as Effect from "effect/Effect"
import * as HttpApiBuilder from "effect/http-api/HttpApiBuilder"
import { Handlers } from "../job/Handlers.ts"
import { installedVersion } from "../system/installedVersion.ts"
import { version } from "../system/Program.ts"
import { DaemonApi } from "./DaemonApi.ts"
import { Document } from "./Document.ts"
import { NotFound } from "./errors.ts"
import { Shutdown } from "./Shutdown.ts"

const llamaPackage = "node-llama-cpp"

/** The handlers of the endpoints of every daemon, except those of jobs. */
export const daemonHandlers = (name: string) =>
  HttpApiBuilder.group(
    DaemonApi,
    "daemon",
    Effect.fn(function* (handlers) {
      const shutdown = yield* Shutdown
      const document = yield* Document
      const { catalog } = yield* Handlers
      const llamaVersion = installedVersion(llamaPackage)
      const buildInfo = {
        name,
        version,
        pid: process.pid,
        node: process.version,
        engines: llamaVersion === undefined ? {} : { [llamaPackage]: llamaVersion }
      }
      return (
        handlers
          .handle("health", () => Effect.succeed("ok"))
          .handle("buildInfo", () => Effect.succeed(buildInfo))
          .handle("shutdown", () => Effect.as(shutdown.request, { status: "stopping" } as const))
          .handle("document", () => Effect.flatMap(catalog, document.json))
          .handle("docs", () => Effect.flatMap(catalog, document.page))
          // Ollama clients send GET or HEAD here to detect a daemon. The router also matches other URLs, such as `//`.
          .handle("root", ({ request }) =>
            request.url === "/" ? Effect.succeed("rbee is running") : Effect.fail(new NotFound())
          )
      )
    })
  )
