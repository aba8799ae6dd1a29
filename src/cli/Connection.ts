import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import { Token } from "../access/Token.ts"
import { DaemonLauncher, type DaemonNotStarted } from "../daemon/DaemonLauncher.ts"
import type { PeerRefused } from "../job/client/clientErrors.ts"
import type { Peer } from "../job/client/Peer.ts"
import { variable } from "../settings/environment.ts"
import { Settings } from "../settings/Settings.ts"
import type { SpawnFailed } from "../system/DetachedProcess.ts"
import { PidFile } from "../system/PidFile.ts"
import { DaemonProblem } from "./errors.ts"
import { Output } from "./Output.ts"

type StartError = DaemonNotStarted | DaemonProblem | SpawnFailed

/** Finds the queen, and starts it if necessary. */
export class Connection extends Context.Service<
  Connection,
  {
    /** The queen's URL: from the flag, `RBEE_QUEEN_URL`, the pid file or the settings, in this order. */
    readonly queen: Effect.Effect<Peer>
    /** Whether a daemon responds at the URL. Fails if the daemon rejects the token, or requires one. */
    readonly isHealthy: (peer: Peer) => Effect.Effect<boolean, DaemonProblem>
    /** The running queen. Starts it if it is not running and no URL was given. */
    readonly runningQueen: Effect.Effect<Peer, StartError>
    /** Starts the queen in the background; succeeds if it is already running. */
    readonly start: Effect.Effect<Peer, StartError>
  }
>()("rbee/cli/Connection") {
  static readonly layer = (queenUrl: Option.Option<string>) =>
    Layer.effect(Connection, make(queenUrl)).pipe(Layer.provide(DaemonLauncher.layerNoDeps))
}

const unauthorized = 401

const withoutSlash = (url: string) => url.replace(/\/+$/, "")

const make = Effect.fnUntraced(function* (queenUrl: Option.Option<string>) {
  const launcher = yield* DaemonLauncher
  const pidFiles = yield* PidFile
  const settings = yield* Settings
  const token = yield* Token
  const output = yield* Output
  const fromVariable = yield* variable("RBEE_QUEEN_URL")
  const explicitUrl = Option.orElse(queenUrl, () => fromVariable)
  const defaultUrl = `http://${settings.queen.host}:${settings.queen.port}`
  const peer = (url: string): Peer => ({ url: withoutSlash(url), token: Option.getOrUndefined(token.own) })

  const queen = Effect.gen(function* () {
    if (Option.isSome(explicitUrl)) return peer(explicitUrl.value)
    const running = yield* pidFiles.read("queen")
    return peer(Option.match(running, { onNone: () => defaultUrl, onSome: ({ url }) => url }))
  })

  const refused = ({ token, url }: Peer, { detail, status }: PeerRefused) => {
    if (status !== unauthorized)
      return new DaemonProblem({ message: `The daemon at ${url} rejected the request: ${detail}` })
    return new DaemonProblem({
      message:
        token === undefined
          ? `The queen at ${url} requires a token; pass it in RBEE_TOKEN or with --token-file`
          : `The queen at ${url} rejected the token; pass the queen's token in RBEE_TOKEN, with --token-file, or in the file 'token' of the configuration folder`
    })
  }

  const probe = (peer: Peer) => Effect.mapError(launcher.probeDaemon(peer), (error) => refused(peer, error))

  const isHealthy = (peer: Peer) => Effect.map(probe(peer), Option.isSome)

  const start = Effect.gen(function* () {
    const current = yield* queen
    const name = yield* probe(current)
    if (Option.isSome(name) && name.value === "queen") return current
    if (Option.isSome(name)) {
      return yield* new DaemonProblem({
        message: `${current.url} is served by a ${name.value}, not a queen; choose another port with RBEE_QUEEN_PORT`
      })
    }
    yield* output.note(`Starting the queen at ${defaultUrl} (log: ${launcher.logFile("queen")})`)
    yield* launcher.launch({ name: "queen", peer: peer(defaultUrl), args: ["queen", "serve"] })
    return peer(defaultUrl)
  })

  return Connection.of({
    queen,
    isHealthy,
    start,
    runningQueen: Effect.gen(function* () {
      if (Option.isNone(explicitUrl)) return yield* start
      const current = yield* queen
      if (yield* isHealthy(current)) return current
      return yield* new DaemonProblem({
        message: `Cannot reach a queen at ${current.url}; check the address and that the queen is running`
      })
    })
  })
})
