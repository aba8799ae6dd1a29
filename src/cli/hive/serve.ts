import * as path from "node:path"
import * as Command from "effect/cli/Command"
import * as Flag from "effect/cli/Flag"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Schedule from "effect/Schedule"
import { Token } from "../../access/Token.ts"
import { DaemonLauncher } from "../../daemon/DaemonLauncher.ts"
import { Settings } from "../../settings/Settings.ts"
import { PidFile } from "../../system/PidFile.ts"
import { surviveClosedOutput } from "../daemonOutput.ts"
import { DaemonProblem } from "../errors.ts"
import { checkHiveId, host, ownHiveId, port } from "../flags.ts"
import { Output } from "../Output.ts"
import { overridesOf } from "../overrides.ts"
import { SharedFlags } from "../SharedFlags.ts"

const id = ownHiveId("The id of this hive")
const queenUrl = Flag.String("queen-url").pipe(
  Flag.withDescription("The queen that gets this hive's heartbeats"),
  Flag.optional
)
const detach = Flag.Boolean("detach").pipe(
  Flag.withDescription("Start it in the background, and return when it answers; one that runs is a success"),
  Flag.withDefault(false)
)

interface Typed {
  readonly host: Option.Option<string>
  readonly port: Option.Option<number>
  readonly id: Option.Option<string>
  readonly queenUrl: Option.Option<string>
}

const inForeground = Effect.fnUntraced(function* (typed: Typed) {
  const { tokenFile } = yield* SharedFlags
  const output = yield* Output
  // Loaded only here: every other command starts without the daemon's code.
  const { serve } = yield* Effect.promise(() => import("../../daemon/Daemon.ts"))
  const { Hive } = yield* Effect.promise(() => import("../../hive/Hive.ts"))
  const overrides = overridesOf({
    "hive.host": typed.host,
    "hive.port": typed.port,
    "hive.id": typed.id,
    "hive.queen_url": typed.queenUrl
  })
  yield* surviveClosedOutput
  yield* serve(Hive.layerWith(overrides, tokenFile), (url) => output.note(`The hive listens on ${url}`))
})

// Who listens on all addresses is asked on loopback.
const reachable = (address: string) =>
  address === "0.0.0.0" ? "127.0.0.1" : address === "::" ? "[::1]" : address

// A hive answers a moment before it writes its file. Only the file tells which one has the port when two were started
// at once.
const fileTimeout = "2 seconds"
const runningDaemon = Effect.fnUntraced(function* (
  name: string,
  otherwise: { readonly pid: number; readonly url: string }
) {
  const runFiles = yield* PidFile
  const written = yield* runFiles.read(name).pipe(
    Effect.repeat({ until: Option.isSome, schedule: Schedule.spaced("20 millis") }),
    Effect.timeout(fileTimeout),
    Effect.orElseSucceed(() => Option.none())
  )
  const { pid, url } = Option.getOrElse(written, () => otherwise)
  return { pid, url }
})

const inBackground = Effect.fnUntraced(function* (typed: Typed) {
  const launcher = yield* DaemonLauncher
  const runFiles = yield* PidFile
  const output = yield* Output
  const { hive } = yield* Settings
  const { own } = yield* Token
  const { tokenFile } = yield* SharedFlags
  const hiveId = Option.getOrElse(typed.id, () => hive.id)
  const address = Option.getOrElse(typed.host, () => hive.host)
  const number = Option.getOrElse(typed.port, () => hive.port)
  const name = `hive-${hiveId}`

  const url = `http://${reachable(address)}:${number}`
  const peer = { url, token: Option.getOrUndefined(own) }
  const answers = (url: string) => Effect.map(launcher.probeDaemon({ ...peer, url }), Option.isSome)
  const [known] = yield* Effect.filter(yield* runFiles.processes(name), (daemon) => answers(daemon.url))
  if (known !== undefined) {
    yield* output.note(`Hive '${hiveId}' runs already`)
    return yield* output.answer(yield* runningDaemon(name, known))
  }
  const other = yield* launcher.probeDaemon(peer)
  if (Option.isSome(other)) {
    return yield* new DaemonProblem({
      message: `A ${other.value} answers at ${url}, not hive '${hiveId}'; take another port with --port`
    })
  }
  const listen = ["--host", address, "--port", String(number)]
  // The daemon has another working folder.
  const ownToken = tokenFile === undefined ? [] : ["--token-file", path.resolve(tokenFile)]
  const queen = Option.match(typed.queenUrl, { onNone: () => [], onSome: (given) => ["--queen-url", given] })
  const args = ["hive", "serve", "--hive-id", hiveId, ...listen, ...queen, ...ownToken]
  const pid = yield* launcher.launch({ name, peer, args })
  yield* output.answer(yield* runningDaemon(name, { pid, url }))
})

export const hiveServe = Command.make(
  "serve",
  { host, port, id, queenUrl, detach },
  Effect.fnUntraced(function* (typed) {
    yield* checkHiveId(typed.id)
    yield* typed.detach
      ? Effect.provide(inBackground(typed), DaemonLauncher.layerNoDeps)
      : inForeground(typed)
  })
).pipe(
  Command.withDescription(
    "Run a hive in the foreground, until it is stopped; with --detach in the background"
  ),
  Command.withExamples([
    { command: "rbee hive serve --hive-id atlas --port 8081 --queen-url http://192.168.1.10:8500" },
    { command: "rbee hive serve --hive-id atlas --detach" }
  ])
)
