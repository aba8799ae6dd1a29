import { randomBytes } from "node:crypto"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Redacted from "effect/Redacted"
import type { HiveEntry } from "../../hives/HivesConfFormat.ts"
import { HiveTokens } from "../../hives/HiveTokens.ts"
import type { Narrate } from "../../job/withNarration.ts"
import { version } from "../../system/Program.ts"
import { type InstallError, OtherProgram, type UninstallError, UnknownPlatform } from "./installErrors.ts"
import { type InstallPlan, InstallPlanner } from "./InstallPlanner.ts"
import { activateScript, probeScript, removeScript } from "./installScripts.ts"
import { RemoteHive } from "./RemoteHive.ts"
import { machineFrom } from "./RemoteMachine.ts"
import { parseScriptOutput, requireValue, type ScriptOutput } from "./ScriptOutput.ts"
import { Ssh } from "./Ssh.ts"
import type { SshTarget } from "./SshTarget.ts"
import { Uploader } from "./Uploader.ts"

/** The result of an installation. `engine`: whether the machine can run llama models. */
export type InstallResult = {
  readonly alias: string
  readonly version: string
  readonly state: "installed"
  readonly changed: boolean
  readonly node: string
  readonly engine: "installed" | "missing"
}

/** The result of an uninstallation. */
export type UninstallResult = {
  readonly alias: string
  readonly state: "uninstalled"
  readonly changed: boolean
}

/**
 * Installs this rbee on another machine, and removes it. Both are idempotent. The old program stays in use until the new
 * one is complete and has run; the switch is one rename.
 */
export class Installer extends Context.Service<
  Installer,
  {
    readonly install: (
      target: SshTarget,
      entry: HiveEntry,
      narrate: Narrate
    ) => Effect.Effect<InstallResult, InstallError>
    /** Stops the hive first. Models are kept. */
    readonly uninstall: (
      target: SshTarget,
      entry: HiveEntry,
      narrate: Narrate
    ) => Effect.Effect<UninstallResult, UninstallError>
  }
>()("rbee/queen/ssh/Installer") {
  static readonly layerNoDeps = Layer.effect(
    Installer,
    Effect.suspend(() => make)
  ).pipe(Layer.provide([InstallPlanner.layerNoDeps, Uploader.layerNoDeps]))
}

const tokenBytes = 32

const newToken = () => Redacted.make(randomBytes(tokenBytes).toString("base64url"))

/** Reads the state of a machine; fails if rbee cannot be installed there. */
const inspectMachine = Effect.fnUntraced(function* (
  ssh: Ssh["Service"],
  target: SshTarget,
  binaryPath: string
) {
  const output = parseScriptOutput(yield* ssh.run(target, probeScript, [binaryPath]))
  const foreignFile = output.first("foreign_file")
  if (foreignFile !== undefined) return yield* new OtherProgram({ hive: target.alias, file: foreignFile })
  const machine = machineFrom(output, yield* requireValue(output, target.alias, "data"))
  if (!("unknown" in machine)) return machine
  return yield* new UnknownPlatform({ hive: target.alias, platform: machine.unknown })
})

/** The sentences about a completed installation. `output`: that of the `activate` script. */
const installSentences = (
  alias: string,
  { hasEngine, node }: InstallPlan,
  output: ScriptOutput,
  changed: boolean
): ReadonlyArray<string> => {
  const restart = `'rbee hive stop ${alias}' and 'rbee hive start ${alias}'`
  return [
    changed
      ? `rbee ${version} is installed on '${alias}', with Node ${node.version}`
      : `rbee ${version} is already installed on '${alias}'`,
    ...(hasEngine
      ? []
      : ["The llama engine is not installed there; run 'rbee engine install llama' on that machine"]),
    ...(output.all("kept").length > 0
      ? [`Running daemons still use the previous version; restart them with ${restart}`]
      : [])
  ]
}

const make = Effect.gen(function* () {
  const ssh = yield* Ssh
  const planner = yield* InstallPlanner
  const uploader = yield* Uploader
  const tokens = yield* HiveTokens
  const remoteHive = yield* RemoteHive

  const activateProgram = Effect.fnUntraced(function* (
    target: SshTarget,
    entry: HiveEntry,
    { node, program }: InstallPlan
  ) {
    const kept = yield* tokens.find(target.alias)
    const token = Option.getOrElse(kept, newToken)
    const replacesToken = Option.isSome(kept) ? "yes" : "no"
    const args = [entry.binaryPath ?? "", program, node.file, Redacted.value(token), replacesToken]
    const output = parseScriptOutput(yield* ssh.run(target, activateScript, args))
    // The machine may already have a token from another queen or its owner.
    const existingToken = output.first("token")
    yield* tokens.save(target.alias, existingToken === undefined ? token : Redacted.make(existingToken))
    return output
  })

  const install = Effect.fn("Installer.install")(function* (
    target: SshTarget,
    entry: HiveEntry,
    narrate: Narrate
  ) {
    yield* narrate("hive_install", `Inspecting machine '${target.alias}'`)
    const machine = yield* inspectMachine(ssh, target, entry.binaryPath ?? "")
    const plan = yield* planner.plan(target, machine)
    yield* uploader.upload(target, { machine, parts: plan.parts, node: plan.node }, narrate)
    const output = yield* activateProgram(target, entry, plan)
    const changed = plan.parts.length > 0 || output.first("switched") !== undefined
    for (const sentence of installSentences(target.alias, plan, output, changed)) {
      yield* narrate("hive_install", sentence)
    }
    return {
      alias: target.alias,
      version,
      state: "installed",
      changed,
      node: plan.node.version,
      engine: plan.hasEngine ? "installed" : "missing"
    } as const
  }, Effect.scoped)

  const uninstall = Effect.fn("Installer.uninstall")(function* (
    target: SshTarget,
    entry: HiveEntry,
    narrate: Narrate
  ) {
    yield* remoteHive
      .stop(target, entry, narrate)
      .pipe(
        Effect.catchTag("ProgramMissing", () =>
          narrate("hive_uninstall", "No hive to stop: rbee is not installed there")
        )
      )
    const token = yield* tokens.find(target.alias)
    const value = Option.match(token, { onNone: () => "", onSome: Redacted.value })
    const output = parseScriptOutput(yield* ssh.run(target, removeScript, [entry.binaryPath ?? "", value]))
    yield* tokens.delete(target.alias)
    const changed = output.all("removed").length > 0
    const data = output.first("data") ?? "the data folder"
    yield* narrate(
      "hive_uninstall",
      changed
        ? `rbee was removed from '${target.alias}'; its models remain in ${data}/models`
        : `rbee was not installed on '${target.alias}'`
    )
    return { alias: target.alias, state: "uninstalled", changed } as const
  })

  return Installer.of({ install, uninstall })
})
