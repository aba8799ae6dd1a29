import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as HttpApiBuilder from "effect/http-api/HttpApiBuilder"
import * as HttpApiEndpoint from "effect/http-api/HttpApiEndpoint"
import * as HttpApiGroup from "effect/http-api/HttpApiGroup"
import * as Layer from "effect/Layer"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import { Token } from "../access/Token.ts"
import { DaemonAccess } from "../daemon/Access.ts"
import { daemon } from "../daemon/Daemon.ts"
import { boundUrl } from "../daemon/DaemonAddress.ts"
import { DaemonApi } from "../daemon/DaemonApi.ts"
import { Handlers } from "../job/Handlers.ts"
import { Heartbeat } from "../operation/Heartbeat.ts"
import { type RawAnswer, type ReceivedRequest, serveRaw } from "./RawHive.ts"
import { fakeSettings, type Script, scriptedJobs } from "./Script.ts"

const FakeHiveGroup = HttpApiGroup.make("hive")
  .add(HttpApiEndpoint.get("heartbeat", "/v1/heartbeat", { success: Heartbeat }))
  .middleware(DaemonAccess)

const FakeHiveApi = DaemonApi.add(FakeHiveGroup)

const ownHandlers = (hiveId: string) =>
  HttpApiBuilder.group(FakeHiveApi, "hive", (handlers) =>
    handlers.handle("heartbeat", () =>
      Effect.succeed({ hive_id: hiveId, timestamp: "1970-01-01T00:00:00Z", workers: [] })
    )
  )

const serverOf = (script: Script, hiveId: string) =>
  daemon({ name: "hive", host: "127.0.0.1", port: 0 }, FakeHiveApi, ownHandlers(hiveId)).pipe(
    Layer.provide([scriptedJobs(script), Handlers.layer]),
    Layer.provide([fakeSettings, Token.layerMemory()])
  )

/** A fake hive that answers each request with bytes of its own choice. */
export interface RawHive {
  /** The base URL. */
  readonly url: string
  readonly port: number
  /** The submitted bodies, unchanged, oldest first. */
  readonly received: Effect.Effect<ReadonlyArray<string>>
  /** All requests, oldest first; the list grows. */
  readonly requests: ReadonlyArray<ReceivedRequest>
  /** How many connections were made to it. */
  readonly connections: () => number
  /** Returns when a request with the method and a path that begins so has come. */
  readonly seen: (method: string, path: string) => Effect.Effect<void>
}

/**
 * A hive on a free loopback port, without devices and workers, that answers every operation from a script. Job ids, both
 * event formats, resuming and cancelling work as on a real hive. `makeRaw` starts one that breaks these rules as a test
 * wants it.
 */
export class FakeHive extends Context.Service<
  FakeHive,
  {
    /** The base URL. */
    readonly url: string
    /** The submitted bodies, unchanged, oldest first. */
    readonly received: Effect.Effect<ReadonlyArray<string>>
  }
>()("rbee/testing/FakeHive") {
  /** Starts a fake hive with the id `hiveId`, which stops with the scope. */
  static readonly make = (script: Script, hiveId = "localhost") =>
    Effect.gen(function* () {
      const received: Array<string> = []
      const noting: Script = (request) =>
        Stream.suspend(() => {
          received.push(request.json)
          return script(request)
        })
      // Not memoized, because two hives in one process must not share jobs.
      const context = yield* Layer.build(Layer.fresh(serverOf(noting, hiveId)))
      const url = yield* Effect.provideContext(boundUrl, context)
      return FakeHive.of({ url, received: Effect.sync(() => [...received]) })
    })

  /** Starts a server that has each request answered by `answer`, for faults that no real hive has. It stops with the scope. */
  static readonly makeRaw = (answer: RawAnswer): Effect.Effect<RawHive, never, Scope.Scope> =>
    Effect.map(serveRaw(answer), (raw) => ({
      ...raw,
      received: Effect.sync(() =>
        raw.requests.filter(({ method }) => method === "POST").map(({ body }) => body)
      )
    }))

  static readonly layer = (script: Script, hiveId?: string) =>
    Layer.effect(FakeHive, this.make(script, hiveId))
}
