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
import { type InstallPlan, makePlanner } from "./installPlan.ts"
import { activate, probe, remove } from "./installScripts.ts"
import { RemoteHive } from "./RemoteHive.ts"
import { machineFrom } from "./RemoteMachine.ts"
import { requireValue, parseScriptOutput } from "./ScriptOutput.ts"
import { Ssh } from "./Ssh.ts"
import { type SshTarget } from "./SshTarget.ts"
import { makeDelivery } from "./upload.ts"

/** The result of an installation. `engine`: whether the machine can run llama models. */
export type Installed = {
  readonly alias: string
  readonly version: string
  readonly state: "installed"
  readonly changed: boolean
  readonly node: string
  readonly engine: "installed" | "missing"
}

/** The result of an uninstallation. */
export type Uninstalled = {
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
    ) => Effect.Effect<Installed, InstallError>
    /** Stops the hive first. Models are kept. */
    readonly uninstall: (
      target: SshTarget,
      entry: HiveEntry,
      narrate: Narrate
    ) => Effect.Effect<Uninstalled, UninstallError>
  }
>()("rbee/queen/ssh/Installer") {
  static readonly layerNoDeps = Layer.effect(
    Installer,
    Effect.suspend(() => make)
  )
}

const tokenBytes = 32

/** The steps of an installation that run scripts on the machine. */
const makeMachineSteps = Effect.gen(function* () {
  const ssh = yield* Ssh
  const tokens = yield* HiveTokens

  const inspectMachine = Effect.fnUntraced(function* (target: SshTarget, binaryPath: string) {
    const output = parseScriptOutput(yield* ssh.run(target, probe, [binaryPath]))
    const foreignFile = output.first("foreign_file")
    if (foreignFile !== undefined) return yield* new OtherProgram({ hive: target.alias, file: foreignFile })
    const machine = machineFrom(output, yield* requireValue(output, target.alias, "data"))
    if (!("unknown" in machine)) return machine
    return yield* new UnknownPlatform({ hive: target.alias, platform: machine.unknown })
  })

  const activateProgram = Effect.fnUntraced(function* (
    target: SshTarget,
    entry: HiveEntry,
    { node, program }: InstallPlan
  ) {
    const kept = yield* tokens.find(target.alias)
    const fresh = () => Redacted.make(randomBytes(tokenBytes).toString("base64url"))
    const token = Option.getOrElse(kept, fresh)
    const must = Option.isSome(kept) ? "yes" : "no"
    const args = [entry.binaryPath ?? "", program, node.file, Redacted.value(token), must]
    const output = parseScriptOutput(yield* ssh.run(target, activate, args))
    // The machine may already have a token from another queen or its owner.
    const existingToken = output.first("token")
    yield* tokens.save(target.alias, existingToken === undefined ? token : Redacted.make(existingToken))
    return output
  })

  return { activateProgram, inspectMachine }
})

const make = Effect.gen(function* () {
  const ssh = yield* Ssh
  const { activateProgram, inspectMachine } = yield* makeMachineSteps
  const plan = yield* makePlanner
  const deliver = yield* makeDelivery
  const tokens = yield* HiveTokens
  const remoteHive = yield* RemoteHive

  const install = Effect.fn("Installer.install")(function* (
    target: SshTarget,
    entry: HiveEntry,
    narrate: Narrate
  ) {
    yield* narrate("hive_install", `Inspecting machine '${target.alias}'`)
    const machine = yield* inspectMachine(target, entry.binaryPath ?? "")
    const planned = yield* plan(target, machine)
    yield* deliver(target, machine, planned.parts, planned.node, narrate)
    const output = yield* activateProgram(target, entry, planned)

    const changed = planned.parts.length > 0 || output.first("switched") !== undefined
    yield* narrate(
      "hive_install",
      changed
        ? `rbee ${version} is installed on '${target.alias}', with Node ${planned.node.version}`
        : `rbee ${version} is already installed on '${target.alias}'`
    )
    if (!planned.hasEngine) {
      yield* narrate(
        "hive_install",
        "The llama engine is not installed there; run 'rbee engine install llama' on that machine"
      )
    }
    if (output.all("kept").length > 0) {
      const restart = `'rbee hive stop ${target.alias}' and 'rbee hive start ${target.alias}'`
      yield* narrate(
        "hive_install",
        `Running daemons still use the previous version; restart them with ${restart}`
      )
    }
    return {
      alias: target.alias,
      version,
      state: "installed",
      changed,
      node: planned.node.version,
      engine: planned.hasEngine ? "installed" : "missing"
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
    const output = parseScriptOutput(yield* ssh.run(target, remove, [entry.binaryPath ?? "", value]))
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
