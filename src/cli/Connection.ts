import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import type { SpawnFailed } from "../config/DetachedProcess.ts"
import { variable } from "../config/environment.ts"
import { RunFile } from "../config/RunFile.ts"
import { Settings } from "../config/Settings.ts"
import { Token } from "../config/Token.ts"
import { DaemonLauncher, type DaemonNotStarted } from "../job/DaemonLauncher.ts"
import type { Peer } from "../job/JobsClient.ts"
import { DaemonProblem } from "./errors.ts"
import { Output } from "./Output.ts"

type StartError = DaemonNotStarted | DaemonProblem | SpawnFailed

/** Where the queen is, and how it comes to run. */
export class Connection extends Context.Service<
  Connection,
  {
    /** The queen's address: flag, `RBEE_QUEEN_URL`, the state file, the default. */
    readonly queen: Effect.Effect<Peer>
    readonly isWell: (peer: Peer) => Effect.Effect<boolean>
    /** The queen, started if it does not run and no address was given. */
    readonly runningQueen: Effect.Effect<Peer, StartError>
    /** Starts the queen in the background; one that runs already is a success. */
    readonly start: Effect.Effect<Peer, StartError>
  }
>()("rbee/cli/Connection") {
  static readonly layer = (queenUrl: Option.Option<string>) =>
    Layer.effect(Connection, make(queenUrl)).pipe(Layer.provide(DaemonLauncher.layerNoDeps))
}

const withoutSlash = (url: string) => url.replace(/\/+$/, "")

const make = Effect.fnUntraced(function* (queenUrl: Option.Option<string>) {
  const launcher = yield* DaemonLauncher
  const runFiles = yield* RunFile
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

  const isWell = (who: Peer) => Effect.map(launcher.whoAnswers(who), Option.isSome)

  const start = Effect.gen(function* () {
    const who = yield* queen
    const name = yield* launcher.whoAnswers(who)
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
