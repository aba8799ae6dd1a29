import * as NodeHttpClient from "@effect/platform-node/NodeHttpClient"
import * as NodeRuntime from "@effect/platform-node/NodeRuntime"
import * as NodeServices from "@effect/platform-node/NodeServices"
import * as Cause from "effect/Cause"
import * as Command from "effect/cli/Command"
import * as Flag from "effect/cli/Flag"
import * as Console from "effect/Console"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import { Token } from "./access/Token.ts"
import { audit } from "./cli/audit.ts"
import { configCheck } from "./cli/config/check.ts"
import { configPath } from "./cli/config/path.ts"
import { configShow } from "./cli/config/show.ts"
import { Connection } from "./cli/Connection.ts"
import { engineInstall } from "./cli/engine/install.ts"
import { CommandFailed, Usage } from "./cli/errors.ts"
import { explain } from "./cli/explain.ts"
import { hiveGet } from "./cli/hive/get.ts"
import { hiveImportSsh } from "./cli/hive/import-ssh.ts"
import { hiveInstall } from "./cli/hive/install.ts"
import { hiveList } from "./cli/hive/list.ts"
import { hiveRefresh } from "./cli/hive/refresh-capabilities.ts"
import { hiveServe } from "./cli/hive/serve.ts"
import { hiveService } from "./cli/hive/service.ts"
import { hiveSshTest } from "./cli/hive/ssh-test.ts"
import { hiveStart } from "./cli/hive/start.ts"
import { hiveStatus } from "./cli/hive/status.ts"
import { hiveStop } from "./cli/hive/stop.ts"
import { hiveUninstall } from "./cli/hive/uninstall.ts"
import { infer } from "./cli/infer.ts"
import { jobsCancel } from "./cli/jobs/cancel.ts"
import { jobsList } from "./cli/jobs/list.ts"
import { jobsWatch } from "./cli/jobs/watch.ts"
import { keyCreate } from "./cli/key/create.ts"
import { keyList } from "./cli/key/list.ts"
import { keyRevoke } from "./cli/key/revoke.ts"
import { mockHiveCommand } from "./cli/mock/hive.ts"
import { mockWorkerCommand } from "./cli/mock/worker.ts"
import { modelDelete } from "./cli/model/delete.ts"
import { modelDownload } from "./cli/model/download.ts"
import { modelGet } from "./cli/model/get.ts"
import { modelList } from "./cli/model/list.ts"
import { op } from "./cli/op.ts"
import { Output } from "./cli/Output.ts"
import { queenServe } from "./cli/queen/serve.ts"
import { queenStart } from "./cli/queen/start.ts"
import { queenStatus } from "./cli/queen/status.ts"
import { queenStop } from "./cli/queen/stop.ts"
import { SharedFlags } from "./cli/SharedFlags.ts"
import { status } from "./cli/status.ts"
import { stop } from "./cli/stop.ts"
import { workerDelete } from "./cli/worker/delete.ts"
import { workerGet } from "./cli/worker/get.ts"
import { workerList } from "./cli/worker/list.ts"
import { workerLogs } from "./cli/worker/logs.ts"
import { workerRestart } from "./cli/worker/restart.ts"
import { workerSpawn } from "./cli/worker/spawn.ts"
import { DaemonClient } from "./daemon/DaemonClient.ts"
import { JobsClient } from "./job/client/JobsClient.ts"
import { Paths } from "./settings/Paths.ts"
import { Settings } from "./settings/Settings.ts"
import { systemProblem, systemSentence } from "./settings/systemProblem.ts"
import { DetachedProcess } from "./system/DetachedProcess.ts"
import { PidFile } from "./system/PidFile.ts"
import { Pids } from "./system/Pids.ts"
import { version } from "./system/Program.ts"
import { WorkerProcessFiles } from "./system/WorkerProcessFiles.ts"

const queen = Flag.String("queen").pipe(
  Flag.withDescription("Queen URL; with it, no daemon is started"),
  Flag.optional
)
const json = Flag.Boolean("json").pipe(
  Flag.withDescription("Print the result as JSON"),
  Flag.withDefault(false)
)
const tokenFile = Flag.String("token-file").pipe(
  Flag.withDescription(
    "File with the daemon token (default: RBEE_TOKEN, then the file 'token' in the configuration folder)"
  ),
  Flag.optional
)

const group = (name: string, description: string) =>
  Command.make(name).pipe(Command.withDescription(description))

const services = (flags: SharedFlags["Service"]) =>
  Connection.layer(flags.queen).pipe(
    Layer.provideMerge([
      DaemonClient.layerNoDeps,
      JobsClient.layerNoDeps,
      PidFile.layer,
      WorkerProcessFiles.layer
    ]),
    Layer.provideMerge([
      DetachedProcess.layer,
      NodeHttpClient.layerNodeHttp,
      Output.layer(flags.json),
      Pids.layer,
      Settings.layer,
      Token.layerWith(flags.tokenFile)
    ]),
    Layer.provideMerge([Paths.layer, Layer.succeed(SharedFlags, flags)])
  )

/** The command tree of the CLI. */
export const cli = Command.make("rbee").pipe(
  Command.withDescription("Run language models on a fleet of machines"),
  Command.withSharedFlags({ queen, json, tokenFile }),
  Command.withSubcommands([
    infer,
    explain,
    audit,
    status,
    stop,
    group("queen", "Queen: the fleet daemon that accepts requests and schedules them").pipe(
      Command.withSubcommands([queenServe, queenStart, queenStop, queenStatus])
    ),
    group("hive", "Hives: the daemons that run models, one per machine").pipe(
      Command.withSubcommands([
        hiveServe,
        hiveStart,
        hiveStop,
        hiveList,
        hiveGet,
        hiveStatus,
        hiveInstall,
        hiveUninstall,
        hiveRefresh,
        hiveSshTest,
        hiveImportSsh,
        hiveService
      ])
    ),
    group("worker", "Workers: processes serving a model").pipe(
      Command.withSubcommands([workerSpawn, workerList, workerGet, workerLogs, workerDelete, workerRestart])
    ),
    group("model", "Models on a hive").pipe(
      Command.withSubcommands([modelDownload, modelList, modelGet, modelDelete])
    ),
    group("jobs", "Running and finished jobs").pipe(
      Command.withSubcommands([jobsList, jobsWatch, jobsCancel])
    ),
    group("key", "API keys for applications").pipe(Command.withSubcommands([keyCreate, keyList, keyRevoke])),
    group("engine", "Engines that run models").pipe(Command.withSubcommands([engineInstall])),
    group("mock", "Mocks with faults to switch on, for tests of failover").pipe(
      Command.withSubcommands([mockHiveCommand, mockWorkerCommand])
    ),
    group("config", "Settings and their files").pipe(
      Command.withSubcommands([configShow, configPath, configCheck])
    ),
    op
  ]),
  Command.provide((args) =>
    services({ queen: args.queen, json: args.json, tokenFile: Option.getOrUndefined(args.tokenFile) })
  )
)

const toStandardError = (sentence: string) =>
  Effect.sync(() => process.stderr.write(`❌ Error: ${sentence}\n`))

const failed = (sentence: string) =>
  Effect.andThen(toStandardError(sentence), Effect.fail(new CommandFailed()))

// A closed pipe, as with `rbee … | head`, is not an error of the command.
const watchOutput = Effect.sync(() => {
  for (const stream of [process.stdout, process.stderr]) {
    stream.on("error", (error: NodeJS.ErrnoException) => {
      if (error.code === "EPIPE") process.exit(0)
      process.stderr.write(`❌ Error: Cannot write the output: ${systemProblem(error)}\n`)
      process.exit(1)
    })
  }
})

const asksForHelp = (args: ReadonlyArray<string>) =>
  args.length === 0 || args.some((arg) => /^(--help|-h|--version|-v|--completions.*|--wizard)$/.test(arg))

// The parser's help goes to stdout only if it was requested; after a usage error it goes to stderr.
const parserConsole = (args: ReadonlyArray<string>): Console.Console =>
  asksForHelp(args) ? console : { ...console, log: console.error }

/** Runs a command line. Fails with an error that carries the exit code; the message has been printed. */
export const main = (args: ReadonlyArray<string>) =>
  watchOutput.pipe(
    Effect.andThen(Command.runWith(cli, { version })(args)),
    Effect.provideService(Console.Console, parserConsole(args)),
    Effect.provide(NodeServices.layer),
    Effect.catch((error): Effect.Effect<void, CommandFailed | Usage> => {
      if (error._tag === "ShowHelp") return error.errors.length > 0 ? Effect.fail(new Usage()) : Effect.void
      if (error._tag === "BadInput")
        return Effect.andThen(toStandardError(error.message), Effect.fail(new Usage()))
      return failed(error._tag === "PlatformError" ? systemSentence(error) : error.message)
    }),
    Effect.catchDefect((defect) => failed(`${Cause.pretty(Cause.die(defect))}`))
  )

/** Runs a command line as this process, and exits with its exit code. */
export const run = (args: ReadonlyArray<string>) =>
  NodeRuntime.runMain(main(args), { disableErrorReporting: true })
