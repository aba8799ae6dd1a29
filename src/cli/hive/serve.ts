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

const id = ownHiveId("Id of this hive (default: the setting, localhost)")
const queenUrl = Flag.String("queen-url").pipe(
  Flag.withDescription(
    "URL of the queen that receives this hive's heartbeats (default: the setting, the local queen)"
  ),
  Flag.optional
)
const detach = Flag.Boolean("detach").pipe(
  Flag.withDescription("Start in the background and return when ready; no-op if already running"),
  Flag.withDefault(false)
)

interface ServeArguments {
  readonly host: Option.Option<string>
  readonly port: Option.Option<number>
  readonly id: Option.Option<string>
  readonly queenUrl: Option.Option<string>
}

const inForeground = Effect.fnUntraced(function* (args: ServeArguments) {
  const { tokenFile } = yield* SharedFlags
  const output = yield* Output
  // Imported lazily, so that other commands start without loading the daemon.
  const { serve } = yield* Effect.promise(() => import("../../daemon/Daemon.ts"))
  const { Hive } = yield* Effect.promise(() => import("../../hive/Hive.ts"))
  const overrides = overridesOf({
    "hive.host": args.host,
    "hive.port": args.port,
    "hive.id": args.id,
    "hive.queen_url": args.queenUrl
  })
  yield* surviveClosedOutput
  yield* serve(Hive.layerWith(overrides, tokenFile), (url) => output.note(`The hive listens on ${url}`))
})

// A daemon that listens on all addresses is probed on loopback.
const reachable = (address: string) =>
  address === "0.0.0.0" ? "127.0.0.1" : address === "::" ? "[::1]" : address

// A hive responds shortly before it writes its pid file. If two hives were started at once, the file names the one that
// owns the port.
const fileTimeout = "2 seconds"
const runningDaemon = Effect.fnUntraced(function* (
  name: string,
  fallback: { readonly pid: number; readonly url: string }
) {
  const pidFiles = yield* PidFile
  const record = yield* pidFiles.read(name).pipe(
    Effect.repeat({ until: Option.isSome, schedule: Schedule.spaced("20 millis") }),
    Effect.timeout(fileTimeout),
    Effect.orElseSucceed(() => Option.none())
  )
  const { pid, url } = Option.getOrElse(record, () => fallback)
  return { pid, url }
})

const inBackground = Effect.fnUntraced(function* (args: ServeArguments) {
  const launcher = yield* DaemonLauncher
  const pidFiles = yield* PidFile
  const output = yield* Output
  const { hive } = yield* Settings
  const { own } = yield* Token
  const { tokenFile } = yield* SharedFlags
  const hiveId = Option.getOrElse(args.id, () => hive.id)
  const address = Option.getOrElse(args.host, () => hive.host)
  const port = Option.getOrElse(args.port, () => hive.port)
  const name = `hive-${hiveId}`

  const url = `http://${reachable(address)}:${port}`
  const peer = { url, token: Option.getOrUndefined(own) }
  // A daemon that rejects this token is reported by the new hive, which finds its port in use.
  const daemonAt = (url: string) =>
    Effect.orElseSucceed(launcher.probeDaemon({ ...peer, url }), () => Option.none())
  const [known] = yield* Effect.filter(yield* pidFiles.processes(name), (daemon) =>
    Effect.map(daemonAt(daemon.url), Option.isSome)
  )
  if (known !== undefined) {
    yield* output.note(`Hive '${hiveId}' is already running`)
    return yield* output.answer(yield* runningDaemon(name, known))
  }
  const other = yield* daemonAt(url)
  if (Option.isSome(other)) {
    return yield* new DaemonProblem({
      message: `${url} is in use by another daemon (${other.value}); choose another port with --port`
    })
  }
  const listen = ["--host", address, "--port", String(port)]
  // The daemon's working folder differs, so the path must be absolute.
  const ownToken = tokenFile === undefined ? [] : ["--token-file", path.resolve(tokenFile)]
  const queen = Option.match(args.queenUrl, { onNone: () => [], onSome: (value) => ["--queen-url", value] })
  const command = ["hive", "serve", "--hive-id", hiveId, ...listen, ...queen, ...ownToken]
  const pid = yield* launcher.launch({ name, peer, args: command })
  yield* output.answer(yield* runningDaemon(name, { pid, url }))
})

export const hiveServe = Command.make(
  "serve",
  { host, port: port(8081), id, queenUrl, detach },
  Effect.fnUntraced(function* (args) {
    yield* checkHiveId(args.id)
    yield* args.detach ? Effect.provide(inBackground(args), DaemonLauncher.layerNoDeps) : inForeground(args)
  })
).pipe(
  Command.withDescription("Run a hive in the foreground (--detach: in the background)"),
  Command.withExamples([
    { command: "rbee hive serve --hive-id atlas --port 8081 --queen-url http://192.168.1.10:8500" },
    { command: "rbee hive serve --hive-id atlas --detach" }
  ])
)
