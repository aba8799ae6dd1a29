import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as HttpApiClient from "effect/http-api/HttpApiClient"
import * as HttpClient from "effect/http/HttpClient"
import type * as HttpClientRequest from "effect/http/HttpClientRequest"
import * as Layer from "effect/Layer"
import type { Capabilities } from "../hives/Capability.ts"
import { bufferedResponse } from "../http/bufferedResponse.ts"
import { isPeerError, type PeerError, PeerProtocolError } from "../job/client/clientErrors.ts"
import type { Peer } from "../job/client/Peer.ts"
import { PeerHttp } from "../job/client/PeerHttp.ts"
import type { JobRecord } from "../job/JobRecord.ts"
import type { Heartbeat } from "../operation/Heartbeat.ts"
import type { HiveInventory } from "../operation/Inventory.ts"
import { isTooDeep } from "../operation/nesting.ts"
import { Settings } from "../settings/Settings.ts"
import type { BuildInfo } from "./DaemonApi.ts"

/**
 * Calls the JSON endpoints of other daemons, as `DaemonApi` declares them. A response has at most `limits.body_bytes` and
 * arrives within `timeouts.submit`; otherwise the call fails.
 */
export class DaemonClient extends Context.Service<
  DaemonClient,
  {
    /** The retained jobs, newest first. */
    readonly jobs: (peer: Peer) => Effect.Effect<ReadonlyArray<JobRecord>, PeerError>
    readonly job: (peer: Peer, id: string) => Effect.Effect<JobRecord, PeerError>
    /** Cancels a job; returns when the work has stopped. A job that has ended is a `PeerRefused` with status 409. */
    readonly cancel: (peer: Peer, id: string) => Effect.Effect<void, PeerError>
    /** Succeeds if the daemon is alive. Every daemon has this endpoint, old ones too. */
    readonly health: (peer: Peer) => Effect.Effect<void, PeerError>
    readonly buildInfo: (peer: Peer) => Effect.Effect<BuildInfo, PeerError>
    /** Requests a graceful stop; returns before the daemon has stopped. */
    readonly shutdown: (peer: Peer) => Effect.Effect<void, PeerError>
    /** The devices of a hive. */
    readonly capabilities: (hive: Peer) => Effect.Effect<Capabilities, PeerError>
    /** The current heartbeat of a hive. */
    readonly heartbeat: (hive: Peer) => Effect.Effect<Heartbeat, PeerError>
    /** The devices of a hive with their free memory, its models and its workers. */
    readonly inventory: (hive: Peer) => Effect.Effect<HiveInventory, PeerError>
    /** Sends the heartbeat of a hive to its queen. */
    readonly sendHeartbeat: (queen: Peer, heartbeat: Heartbeat) => Effect.Effect<void, PeerError>
  }
>()("rbee/daemon/DaemonClient") {
  static readonly layerNoDeps = Layer.effect(
    DaemonClient,
    Effect.suspend(() => make)
  )
}

/** One call of an endpoint: the daemon, and the path of the request, which error messages name. */
class Call extends Context.Service<Call, { readonly peer: Peer; path: string }>()(
  "rbee/daemon/DaemonClient/Call"
) {}

/** Sends the requests of the derived client. A response with another status than 200 fails as `PeerRefused`. */
const senderOf = (http: PeerHttp): HttpClient.HttpClient.With<PeerError, Call> =>
  HttpClient.makeWith(
    Effect.fnUntraced(function* (prepared: Effect.Effect<HttpClientRequest.HttpClientRequest>) {
      const request = yield* prepared
      const call = yield* Call
      call.path = request.url
      const text = yield* http.ask(call.peer, request)
      if (!isTooDeep(text)) return bufferedResponse(request, text)
      return yield* new PeerProtocolError({
        url: call.peer.url,
        detail: `sent JSON that is nested too deeply for ${request.url}`
      })
    }),
    Effect.succeed
  )

/** Calls an endpoint of a daemon. A response that does not match the API fails as `PeerMisspoke`. */
const call = <Group, A, E>(
  peer: Peer,
  group: Effect.Effect<Group>,
  endpoint: (endpoints: Group) => Effect.Effect<A, E, Call>
): Effect.Effect<A, PeerError> =>
  Effect.suspend(() => {
    const context = { peer, path: "" }
    return Effect.flatMap(group, endpoint).pipe(
      Effect.mapError((error) =>
        isPeerError(error)
          ? error
          : new PeerProtocolError({
              url: peer.url,
              detail: `sent an unexpected response for ${context.path}`
            })
      ),
      Effect.provideService(Call, context)
    )
  })

let loadedApi: typeof import("./DaemonApi.ts") | undefined

/**
 * Loads the API; calls do it if it has not been done. Its schemas take about 10 ms to build, so a command of the CLI that
 * calls no daemon does not load them.
 */
export const loadDaemonApi = Effect.suspend(() =>
  loadedApi === undefined
    ? Effect.map(
        Effect.promise(() => import("./DaemonApi.ts")),
        (loaded) => (loadedApi = loaded)
      )
    : Effect.succeed(loadedApi)
)

/** The clients of the four groups of endpoints. A group is derived with the first call of one of its endpoints. */
const deriveGroups = (http: PeerHttp) => {
  const httpClient = senderOf(http)
  const derive = <const Group extends "daemon" | "hive" | "jobs" | "queen">(group: Group) =>
    loadDaemonApi.pipe(
      Effect.flatMap(({ AnyDaemonApi }) => HttpApiClient.group(AnyDaemonApi, { group, httpClient })),
      Effect.cached
    )
  return Effect.all({
    daemon: derive("daemon"),
    hive: derive("hive"),
    jobs: derive("jobs"),
    queen: derive("queen")
  })
}

const checkHealth = ({ url }: Peer, text: string) =>
  text.trim() === "ok"
    ? Effect.void
    : Effect.fail(new PeerProtocolError({ url, detail: "did not answer 'ok' at /health" }))

const make = Effect.gen(function* () {
  const { daemon, hive, jobs, queen } = yield* deriveGroups(
    new PeerHttp(yield* HttpClient.HttpClient, yield* Settings)
  )

  return DaemonClient.of({
    jobs: (peer) =>
      Effect.map(
        call(peer, jobs, ({ list }) => list({})),
        (list) => list.jobs
      ),
    job: (peer, id) => call(peer, jobs, ({ get }) => get({ params: { id } })),
    cancel: (peer, id) => Effect.asVoid(call(peer, jobs, ({ cancel }) => cancel({ params: { id } }))),
    health: (peer) =>
      Effect.flatMap(
        call(peer, daemon, ({ health }) => health({})),
        (text) => checkHealth(peer, text)
      ),
    buildInfo: (peer) => call(peer, daemon, ({ buildInfo }) => buildInfo({})),
    shutdown: (peer) => Effect.asVoid(call(peer, daemon, ({ shutdown }) => shutdown({}))),
    capabilities: (peer) =>
      call(peer, hive, ({ capabilities }) => capabilities({})).pipe(
        // Daemons of the original rbee have only the older path.
        Effect.catchTag("PeerRefused", (refusal) =>
          refusal.status === 404
            ? call(peer, hive, ({ olderCapabilities }) => olderCapabilities({}))
            : Effect.fail(refusal)
        )
      ),
    heartbeat: (peer) => call(peer, hive, ({ heartbeat }) => heartbeat({})),
    inventory: (peer) => call(peer, hive, ({ inventory }) => inventory({})),
    sendHeartbeat: (peer, payload) =>
      Effect.asVoid(call(peer, queen, ({ heartbeat }) => heartbeat({ payload })))
  })
})
