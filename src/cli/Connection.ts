import * as path from "node:path"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Schedule from "effect/Schedule"
import * as Schema from "effect/Schema"
import { DetachedProcess, type SpawnFailed, type Started } from "../config/DetachedProcess.ts"
import { variable } from "../config/environment.ts"
import { Paths } from "../config/Paths.ts"
import { programFile } from "../config/Program.ts"
import { RunFile } from "../config/RunFile.ts"
import { Settings } from "../config/Settings.ts"
import { Token } from "../config/Token.ts"
import { JobsClient, type Peer } from "../job/JobsClient.ts"
import { DaemonProblem } from "./errors.ts"
import { Output } from "./Output.ts"

/** Where the queen is, and how it comes to run. */
export class Connection extends Context.Service<
  Connection,
  {
    /** The queen's address: flag, `RBEE_QUEEN_URL`, the state file, the default. */
    readonly queen: Effect.Effect<Peer>
    readonly isWell: (peer: Peer) => Effect.Effect<boolean>
    /** The queen, started if it does not run and no address was given. */
    readonly runningQueen: Effect.Effect<Peer, DaemonProblem | SpawnFailed>
    /** Starts the queen in the background; one that runs already is a success. */
    readonly start: Effect.Effect<Peer, DaemonProblem | SpawnFailed>
  }
>()("rbee/cli/Connection") {
  static readonly layer = (queenUrl: Option.Option<string>) => Layer.effect(Connection, make(queenUrl))
}

const lookWithin = "1 second"
const linesShown = 10
const polls = Schedule.exponential("30 millis", 1.3).pipe(Schedule.upTo({ times: 16 }))

const withoutSlash = (url: string) => url.replace(/\/+$/, "")

const make = Effect.fnUntraced(function* (queenUrl: Option.Option<string>) {
  const client = yield* JobsClient
  const processes = yield* DetachedProcess
  const runFiles = yield* RunFile
  const settings = yield* Settings
  const token = yield* Token
  const paths = yield* Paths
  const output = yield* Output
  const fs = yield* FileSystem.FileSystem
  const fromVariable = yield* variable("RBEE_QUEEN_URL")
  const given = Option.orElse(queenUrl, () => fromVariable)
  const usual = `http://${settings.queen.host}:${settings.queen.port}`
  const peer = (url: string): Peer => ({ url: withoutSlash(url), token: Option.getOrUndefined(token.own) })

  const queen = Effect.gen(function* () {
    if (Option.isSome(given)) return peer(given.value)
    const running = yield* runFiles.read("queen")
    return peer(Option.match(running, { onNone: () => usual, onSome: ({ url }) => url }))
  })

  const BuildInfo = Schema.Struct({ name: Schema.String })
  const whoIs = (who: Peer) =>
    client.get(who, "/v1/build-info", BuildInfo).pipe(
      Effect.timeout(lookWithin),
      Effect.map(({ name }) => name),
      Effect.option
    )

  const isWell = (who: Peer) => Effect.map(whoIs(who), Option.isSome)

  const lastLines = (file: string) =>
    Effect.orElseSucceed(fs.readFileString(file), () => "").pipe(
      Effect.map((text) => text.trimEnd().split("\n").slice(-linesShown).join("\n"))
    )

  const logFile = path.join(paths.state, "logs", "queen.log")

  const untilWell = (who: Peer, { exited }: Started) => {
    const failed = (why: string) =>
      Effect.flatMap(lastLines(logFile), (lines) =>
        Effect.fail(
          new DaemonProblem({ message: `The queen did not start: ${why} (log: ${logFile})\n${lines}` })
        )
      )
    const well = isWell(who).pipe(
      Effect.flatMap((ok) => (ok ? Effect.void : Effect.fail("not yet" as const))),
      Effect.retry(polls),
      Effect.catch(() => failed(`it did not answer at ${who.url} in time`))
    )
    // Another keeper may have been faster: then its queen has the port, and ours ended.
    const died = Effect.flatMap(exited, ({ code, signal }) =>
      Effect.flatMap(isWell(who), (ok) =>
        ok ? Effect.void : failed(`it ended with ${signal ?? `code ${code}`}`)
      )
    )
    return Effect.raceFirst(well, died)
  }

  const launch = Effect.fnUntraced(function* (who: Peer) {
    const started = yield* processes
      .start({ command: process.execPath, args: [programFile, "queen", "serve"], logFile })
      .pipe(
        Effect.tap(({ pid }) => Effect.ignore(runFiles.starting("queen", pid, who.url))),
        Effect.uninterruptible
      )
    yield* untilWell(who, started)
  })

  const start = Effect.gen(function* () {
    const who = yield* queen
    const name = yield* whoIs(who)
    if (Option.isSome(name)) {
      if (name.value === "queen") return who
      return yield* new DaemonProblem({
        message: `A ${name.value} answers at ${who.url}, not a queen; set another port: rbee queen serve --port PORT`
      })
    }
    yield* output.note(`Starting the queen at ${usual} (log: ${logFile})`)
    yield* Effect.ignore(fs.makeDirectory(path.dirname(logFile), { recursive: true, mode: 0o700 }))
    yield* launch(peer(usual))
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
