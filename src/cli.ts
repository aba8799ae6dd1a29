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
  Flag.withDescription("The queen's URL; nothing is started then"),
  Flag.optional
)
const json = Flag.Boolean("json").pipe(
  Flag.withDescription("Print the answer as JSON, for programs"),
  Flag.withDefault(false)
)
const tokenFile = Flag.String("token-file").pipe(
  Flag.withDescription("A file with the token of the daemons"),
  Flag.optional
)

const noun = (name: string, description: string) =>
  Command.make(name).pipe(Command.withDescription(description))

const services = (flags: SharedFlags["Service"]) =>
  Connection.layer(flags.queen).pipe(
    Layer.provideMerge([JobsClient.layerNoDeps, PidFile.layer, WorkerProcessFiles.layer]),
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

/** The command line: the tree of its commands. */
export const cli = Command.make("rbee").pipe(
  Command.withDescription("One place to run language models on all your machines"),
  Command.withSharedFlags({ queen, json, tokenFile }),
  Command.withSubcommands([
    infer,
    explain,
    status,
    stop,
    noun("queen", "The daemon that takes operations").pipe(
      Command.withSubcommands([queenServe, queenStart, queenStop, queenStatus])
    ),
    noun("hive", "The daemon of each machine").pipe(
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
    noun("worker", "The processes with a model loaded").pipe(
      Command.withSubcommands([workerSpawn, workerList, workerGet, workerLogs, workerDelete, workerRestart])
    ),
    noun("model", "The models on a hive").pipe(
      Command.withSubcommands([modelDownload, modelList, modelGet, modelDelete])
    ),
    noun("jobs", "What runs and what ran").pipe(Command.withSubcommands([jobsList, jobsWatch, jobsCancel])),
    noun("key", "Keys with which applications use the queen").pipe(
      Command.withSubcommands([keyCreate, keyList, keyRevoke])
    ),
    noun("engine", "What workers are made with").pipe(Command.withSubcommands([engineInstall])),
    noun("config", "Where settings are, and what they are").pipe(
      Command.withSubcommands([configShow, configPath, configCheck])
    ),
    op
  ]),
  Command.provide((typed) =>
    services({ queen: typed.queen, json: typed.json, tokenFile: Option.getOrUndefined(typed.tokenFile) })
  )
)

const toStandardError = (sentence: string) =>
  Effect.sync(() => process.stderr.write(`❌ Error: ${sentence}\n`))

const failed = (sentence: string) =>
  Effect.andThen(toStandardError(sentence), Effect.fail(new CommandFailed()))

// A reader that left, such as `head`, is no error of the command.
const watchOutput = Effect.sync(() => {
  for (const stream of [process.stdout, process.stderr]) {
    stream.on("error", (error: NodeJS.ErrnoException) => {
      if (error.code === "EPIPE") process.exit(0)
      process.stderr.write(`❌ Error: The output cannot be written: ${systemProblem(error)}\n`)
      process.exit(1)
    })
  }
})

const asksForHelp = (args: ReadonlyArray<string>) =>
  args.length === 0 || args.some((arg) => /^(--help|-h|--version|-v|--completions.*|--wizard)$/.test(arg))

// What the parser prints is the answer only to one who asked for it.
const parserConsole = (args: ReadonlyArray<string>): Console.Console =>
  asksForHelp(args) ? console : { ...console, log: console.error }

/** Runs what was typed. Fails with an error that carries the exit code; what went wrong has been printed. */
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

/** Runs what was typed as this process, to its exit code. */
export const run = (args: ReadonlyArray<string>) =>
  NodeRuntime.runMain(main(args), { disableErrorReporting: true })
