import { readFileSync } from "node:fs"
import { createServer } from "node:http"
import { availableParallelism } from "node:os"
import { parseArgs } from "node:util"
import * as NodeHttpServer from "@effect/platform-node/NodeHttpServer"
import * as NodeRuntime from "@effect/platform-node/NodeRuntime"
import * as Cause from "effect/Cause"
import * as Console from "effect/Console"
import * as Effect from "effect/Effect"
import * as HttpRouter from "effect/http/HttpRouter"
import * as Layer from "effect/Layer"
import { printDevices } from "./devices.ts"
import { type Engine, openEngine } from "./Engine.ts"
import { EngineFailed } from "./errors.ts"
import { app } from "./http.ts"
import { Replays } from "./Replays.ts"
import { Requests } from "./Requests.ts"
import { Served } from "./Served.ts"

const portInUse = 98

const usage =
  "usage: main.js --model FILE --model-id ID --port PORT [--host 127.0.0.1] [--ctx-size N] [--parallel N] [--threads N] [--device cpu-0|gpu-N] [--engine-dir DIR] [--chat-template-file FILE]\n       main.js --list-devices [--engine-dir DIR]"

const text = { type: "string" } as const

const readFlags = () => {
  const { values } = parseArgs({
    options: {
      model: text,
      "model-id": text,
      port: text,
      host: text,
      "ctx-size": text,
      parallel: text,
      threads: text,
      device: text,
      "engine-dir": text,
      "chat-template-file": text,
      "list-devices": { type: "boolean" }
    }
  })
  if (values["list-devices"] === true) return { lists: true as const, engineDir: values["engine-dir"] }
  const positiveInteger = (name: "ctx-size" | "parallel" | "port" | "threads") => {
    const value = values[name]
    if (value === undefined) return undefined
    if (/^[1-9]\d{0,8}$/.test(value)) return Number(value)
    throw new Error(`--${name} must be a positive integer, got '${value}'`)
  }
  const { device = "cpu-0", "engine-dir": engineDir, host = "127.0.0.1", model, "model-id": modelId } = values
  const port = positiveInteger("port")
  const template = values["chat-template-file"]
  if (model === undefined || modelId === undefined || port === undefined) {
    throw new Error("--model, --model-id and --port are required")
  }
  return {
    lists: false as const,
    host,
    port,
    modelId,
    engine: {
      modelPath: model,
      chatTemplate: template === undefined ? undefined : readFileSync(template, "utf8"),
      contextSize: positiveInteger("ctx-size"),
      parallel: positiveInteger("parallel") ?? 4,
      // With one spinning thread per core, threads wait for each other: a small model becomes twenty times slower.
      threads: positiveInteger("threads") ?? Math.max(1, availableParallelism() - 1),
      gpu: !device.startsWith("cpu"),
      engineDir
    }
  }
}

// The backend's threads may keep the process alive or hang it, so it exits explicitly.
const exit = (code: number) => Effect.sync((): never => process.exit(code))

const fail = (message: string, code: number) => Effect.andThen(Console.error(message), exit(code))

const main = Effect.gen(function* () {
  const flags = yield* Effect.try({
    try: readFlags,
    catch: (cause) =>
      new EngineFailed({ reason: `${cause instanceof Error ? cause.message : String(cause)}\n${usage}` })
  })
  if (flags.lists) return yield* Effect.andThen(printDevices(flags.engineDir), exit(0))
  let engine: Engine["Service"] | undefined
  const served = Layer.succeed(Served, Served.of({ modelId: flags.modelId, engine: () => engine }))
  const server = HttpRouter.serve(app, { disableLogger: true, disableListenLog: true }).pipe(
    Layer.provide([served, Requests.layer, Replays.layer]),
    Layer.provide(
      NodeHttpServer.layer(createServer, {
        host: flags.host,
        port: flags.port,
        gracefulShutdownTimeout: "500 millis"
      })
    )
  )
  yield* Effect.catchTag(Layer.build(server), "ServeError", () =>
    fail(`Port ${flags.port} on ${flags.host} is in use`, portInUse)
  )
  engine = yield* openEngine(flags.engine)
  yield* Console.log(
    `Serving ${flags.modelId} on http://${flags.host}:${flags.port}, context ${engine.contextSize}`
  )
  return yield* Effect.never
}).pipe(
  Effect.scoped,
  Effect.catchTag("EngineFailed", ({ message }) => fail(message, 1)),
  Effect.catchCause((cause) =>
    Cause.hasInterruptsOnly(cause) ? Effect.failCause(cause) : fail(Cause.pretty(cause), 1)
  )
)

NodeRuntime.runMain(main, {
  // Releasing the backend may hang, so the process exits after the server has closed.
  teardown: (exit, onExit) => onExit(exit._tag === "Success" ? 0 : 130)
})
