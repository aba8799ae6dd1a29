import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import type { HiveEntry } from "../../hives/HivesConfFormat.ts"
import type { Narrate } from "../../job/withNarration.ts"
import { isLoopback } from "../../system/loopback.ts"
import { ProgramMissing, RemoteCommandFailed, type RemoteHiveError } from "./installErrors.ts"
import { runProgramScript } from "./installScripts.ts"
import { UnexpectedScriptOutput, parseScriptOutput } from "./ScriptOutput.ts"
import { Ssh } from "./Ssh.ts"
import { type SshTarget } from "./SshTarget.ts"

/** A running hive daemon: its pid and its URL on its machine. */
export const RemoteDaemon = Schema.Struct({ pid: Schema.Int, url: Schema.String })
export type RemoteDaemon = typeof RemoteDaemon.Type

/** Starts and stops hives on other machines with the rbee installed there. Both are idempotent. */
export class RemoteHive extends Context.Service<
  RemoteHive,
  {
    /** Returns when the hive answers on its machine. Without `queenUrl` the hive sends no heartbeats. */
    readonly start: (
      target: SshTarget,
      entry: HiveEntry,
      options: { readonly queenUrl?: string },
      narrate: Narrate
    ) => Effect.Effect<RemoteDaemon, RemoteHiveError>
    /** Returns when the hive and its workers have exited. */
    readonly stop: (
      target: SshTarget,
      entry: HiveEntry,
      narrate: Narrate
    ) => Effect.Effect<void, RemoteHiveError>
  }
>()("rbee/queen/ssh/RemoteHive") {
  static readonly layerNoDeps = Layer.effect(
    RemoteHive,
    Effect.suspend(() => make)
  )
}

// TERM, grace period and KILL, for the hive and then its workers; ten health polls of a starting hive.
const commandTimeout = "1 minute"
const maxLines = 10
// The exit codes of a shell that cannot run or find a file.
const cannotRun = new Set([126, 127])

const decode = Schema.decodeUnknownOption(Schema.fromJsonString(RemoteDaemon))

const make = Effect.gen(function* () {
  const ssh = yield* Ssh

  const rbee = Effect.fnUntraced(function* (
    target: SshTarget,
    entry: HiveEntry,
    args: ReadonlyArray<string>
  ) {
    const hive = target.alias
    const binaryPath = entry.binaryPath ?? ""
    const output = parseScriptOutput(
      yield* ssh.run(target, runProgramScript, [binaryPath, ...args], commandTimeout)
    )
    const missing = output.first("missing")
    if (missing !== undefined) return yield* new ProgramMissing({ hive, file: missing })
    const code = Number(output.first("code") ?? Number.NaN)
    if (Number.isNaN(code)) return yield* new UnexpectedScriptOutput({ hive, missing: "exit code" })
    if (code === 0) return output.all("output")
    if (cannotRun.has(code)) {
      return yield* new ProgramMissing({ hive, file: output.first("launcher") ?? binaryPath })
    }
    const lastLines = output
      .all("output")
      .map((line) => line.replace("❌ Error: ", ""))
      .filter((line) => line !== "")
      .slice(-maxLines)
    return yield* new RemoteCommandFailed({ hive, command: `rbee ${args.join(" ")}`, code, lastLines })
  })

  const start = Effect.fn("RemoteHive.start")(function* (
    target: SshTarget,
    entry: HiveEntry,
    { queenUrl }: { readonly queenUrl?: string },
    narrate: Narrate
  ) {
    yield* narrate("hive_start", `Starting hive '${target.alias}' on ${target.hostName}`)
    const host = isLoopback(entry.hostName) ? "127.0.0.1" : "0.0.0.0"
    const serve = ["hive", "serve", "--detach", "--json", "--hive-id", target.alias]
    const listen = ["--host", host, "--port", String(entry.hivePort)]
    const queen = queenUrl === undefined ? [] : ["--queen-url", queenUrl]
    const lines = yield* rbee(target, entry, [...serve, ...listen, ...queen])
    const daemon = lines.flatMap((line) => Option.toArray(decode(line)))[0]
    if (daemon === undefined)
      return yield* new UnexpectedScriptOutput({ hive: target.alias, missing: "hive's process" })
    yield* narrate(
      "hive_start",
      `Hive '${target.alias}' is running on ${target.hostName} (pid ${daemon.pid})`
    )
    return daemon
  })

  const stop = Effect.fn("RemoteHive.stop")(function* (
    target: SshTarget,
    entry: HiveEntry,
    narrate: Narrate
  ) {
    yield* narrate("hive_stop", `Stopping hive '${target.alias}' and its workers on ${target.hostName}`)
    yield* rbee(target, entry, ["stop", "--json", "--hive-id", target.alias])
    yield* narrate("hive_stop", `Hive '${target.alias}' has stopped`)
  })

  return RemoteHive.of({ start, stop })
})
