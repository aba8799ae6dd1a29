import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import { Token } from "../access/Token.ts"
import { DaemonLauncher, type DaemonNotStarted } from "../daemon/DaemonLauncher.ts"
import type { PeerRefused } from "../job/client/clientErrors.ts"
import type { Peer } from "../job/client/JobsClient.ts"
import { variable } from "../settings/environment.ts"
import { Settings } from "../settings/Settings.ts"
import type { SpawnFailed } from "../system/DetachedProcess.ts"
import { PidFile } from "../system/PidFile.ts"
import { DaemonProblem } from "./errors.ts"
import { Output } from "./Output.ts"

type StartError = DaemonNotStarted | DaemonProblem | SpawnFailed

/** Where the queen is, and how it comes to run. */
export class Connection extends Context.Service<
  Connection,
  {
    /** The queen's address: flag, `RBEE_QUEEN_URL`, the state file, the default. */
    readonly queen: Effect.Effect<Peer>
    /** Whether a daemon answers there. Fails when the daemon wants a token, or another one. */
    readonly isWell: (peer: Peer) => Effect.Effect<boolean, DaemonProblem>
    /** The queen, started if it does not run and no address was given. */
    readonly runningQueen: Effect.Effect<Peer, StartError>
    /** Starts the queen in the background; one that runs already is a success. */
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
  const runFiles = yield* PidFile
  const settings = yield* Settings
  const token = yield* Token
  const output = yield* Output
  const fromVariable = yield* variable("RBEE_QUEEN_URL")
  const given = Option.orElse(queenUrl, () => fromVariable)
  const usual = `http://${settings.queen.host}:${settings.queen.port}`
  const peer = (url: string): Peer => ({ url: withoutSlash(url), token: Option.getOrUndefined(token.own) })

  const queen = Effect.gen(function* () {
    if (Option.isSome(given)) return peer(given.value)
    const running = yield* runFiles.read("queen")
    return peer(Option.match(running, { onNone: () => usual, onSome: ({ url }) => url }))
  })

  const refused = ({ token, url }: Peer, { detail, status }: PeerRefused) => {
    if (status !== unauthorized)
      return new DaemonProblem({ message: `The daemon at ${url} refused: ${detail}` })
    return new DaemonProblem({
      message:
        token === undefined
          ? `The queen at ${url} is running, and the token is missing: give it in RBEE_TOKEN or with --token-file`
          : `The queen at ${url} is running, and the token is wrong: RBEE_TOKEN, --token-file or the file 'token' of the configuration folder must have the queen's`
    })
  }

  const whoAnswers = (who: Peer) => Effect.mapError(launcher.probe(who), (error) => refused(who, error))

  const isWell = (who: Peer) => Effect.map(whoAnswers(who), Option.isSome)

  const start = Effect.gen(function* () {
    const who = yield* queen
    const name = yield* whoAnswers(who)
    if (Option.isSome(name) && name.value === "queen") return who
    if (Option.isSome(name)) {
      return yield* new DaemonProblem({
        message: `A ${name.value} answers at ${who.url}, not a queen; take another port with RBEE_QUEEN_PORT`
      })
    }
    yield* output.note(`Starting the queen at ${usual} (log: ${launcher.logFile("queen")})`)
    yield* launcher.launch({ name: "queen", peer: peer(usual), args: ["queen", "serve"] })
    return peer(usual)
  })

  return Connection.of({
    queen,
    isWell,
    start,
    runningQueen: Effect.gen(function* () {
      if (Option.isNone(given)) return yield* start
      const who = yield* queen
      if (yield* isWell(who)) return who
      return yield* new DaemonProblem({
        message: `No queen answers at ${who.url}; is its address right, and does it run?`
      })
    })
  })
})
