import { copyFileSync, mkdirSync } from "node:fs"
import { join } from "node:path"
import { Context, Effect, Layer, Schema } from "effect"
import { boundUrl } from "../../src/daemon/DaemonAddress.ts"
import { HiveInventory } from "../../src/operation/Inventory.ts"
import { ask } from "./daemon.ts"
import { hiveLayer, temporaryHome } from "./hive.ts"
import { QueenClient, queenLayer } from "./queen.ts"
import { until } from "./until.ts"

const tools = new URL("fakeToolEngine.ts", import.meta.url).pathname

const tiny = new URL("../../src/worker/tiny/rbee-tiny-novelist-q8_0.gguf", import.meta.url).pathname

const settings = {
  aliases: { tooly: { model: "toolsmith", engine: "tools" } },
  engines: {
    tools: {
      command: [process.execPath, tools, "--port", "{port}", "--name", "{model_id}"],
      backends: ["cpu"],
      ready: "/health"
    }
  }
} as const

const readInventory = Schema.decodeSync(Schema.fromJsonString(HiveInventory))

/** A real queen with a real hive, and the addresses of both: each has all endpoints for applications. */
export class Endpoints extends Context.Service<
  Endpoints,
  {
    readonly queen: string
    readonly hive: string
    /** Returns when no worker of the hive works on anything, and every job of the daemon has ended. */
    readonly idle: (url: string) => Effect.Effect<void>
  }
>()("rbee/test/support/endpoints") {
  static readonly layer = Layer.effect(
    Endpoints,
    Effect.gen(function* () {
      const queen = yield* Layer.build(
        QueenClient.layer.pipe(Layer.provideMerge(queenLayer({ home: yield* temporaryHome, settings })))
      )
      const { url } = Context.get(queen, QueenClient)
      const home = yield* temporaryHome
      // The fake engine reads no file; what the hive knows of its model it knows from this one.
      mkdirSync(join(home, "data", "models"), { recursive: true })
      copyFileSync(tiny, join(home, "data", "models", "toolsmith.gguf"))
      const context = yield* Layer.build(hiveLayer({ home, id: "atlas", queenUrl: url, settings }))
      const hive = yield* Effect.provideContext(boundUrl, context)
      yield* Effect.orDie(until(ask(url, { path: "/v1/models" }), ({ text }) => text.includes("rbee:tiny")))
      const isIdle = (url: string) =>
        Effect.gen(function* () {
          const jobs = yield* ask(url, { path: "/v1/jobs" })
          const inventory = yield* ask(hive, { path: "/v1/inventory" })
          const { workers } = readInventory(inventory.text)
          return !/"state":"(queued|running)"/.test(jobs.text) && workers.every(({ busy }) => busy === 0)
        })
      return Endpoints.of({
        queen: url,
        hive,
        idle: (url) => Effect.asVoid(Effect.orDie(until(isIdle(url), (idle) => idle)))
      })
    })
  )
}

/** Both kinds of daemon have the same endpoints. */
export const daemons = ["queen", "hive"] as const
