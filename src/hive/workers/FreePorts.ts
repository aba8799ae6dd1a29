import { createServer } from "node:net"
// @effect-diagnostics nodeBuiltinImport:off -- Effect has no service for free ports
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Schema from "effect/Schema"
import { systemProblem } from "../../settings/systemProblem.ts"

/** The system offered no unused port on loopback. */
export class NoFreePort extends Schema.TaggedError<NoFreePort>()("NoFreePort", {
  reason: Schema.String
}) {
  override get message() {
    return `No free port on 127.0.0.1 for a worker: ${this.reason}`
  }
}

/** Allocates free ports on loopback. */
export class FreePorts extends Context.Service<
  FreePorts,
  {
    /** A free port that was neither allocated nor reserved before. */
    readonly next: Effect.Effect<number, NoFreePort>
    /** Excludes a port that a worker uses from allocation. */
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
          reason: `${attempts} in a row were already used; restart the hive`
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
          : Effect.fail(new NoFreePort({ reason: "the system offered none" }))
      )
    )
  })
})
