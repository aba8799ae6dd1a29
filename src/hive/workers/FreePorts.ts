import { createServer } from "node:net"
// @effect-diagnostics nodeBuiltinImport:off -- Effect has no way to ask the system for a free port
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Schema from "effect/Schema"
import { systemProblem } from "../../settings/systemProblem.ts"

/** The system had no port on loopback that was not used before. */
export class NoFreePort extends Schema.TaggedError<NoFreePort>()("NoFreePort", {
  reason: Schema.String
}) {
  override get message() {
    return `No free port on 127.0.0.1 for a worker: ${this.reason}`
  }
}

/** Gives ports on loopback that nobody listens on. */
export class FreePorts extends Context.Service<
  FreePorts,
  {
    /** A port that was never given before, nor reserved. */
    readonly next: Effect.Effect<number, NoFreePort>
    /** Keeps a port from being given, because a worker has it. */
    readonly reserve: (port: number) => Effect.Effect<void>
  }
>()("rbee/hive/workers/FreePorts") {
  static readonly layer = Layer.effect(
    FreePorts,
    Effect.sync(() => {
      const used = new Set<number>()
      const next = Effect.gen(function* () {
        for (let attempt = 0; attempt < attempts; attempt++) {
          const port = yield* askSystem
          if (used.has(port)) continue
          used.add(port)
          return port
        }
        return yield* new NoFreePort({
          reason: `${attempts} in a row had been used before; restart the hive`
        })
      })
      return FreePorts.of({ next, reserve: (port) => Effect.sync(() => used.add(port)) })
    })
  )
}

const attempts = 100

const askSystem = Effect.callback<number, NoFreePort>((resume) => {
  const server = createServer()
  server.once("error", (error) => resume(Effect.fail(new NoFreePort({ reason: systemProblem(error) }))))
  server.listen({ host: "127.0.0.1", port: 0, exclusive: true }, () => {
    const address = server.address()
    server.close(() =>
      resume(
        typeof address === "object" && address !== null
          ? Effect.succeed(address.port)
          : Effect.fail(new NoFreePort({ reason: "the system named none" }))
      )
    )
  })
})
