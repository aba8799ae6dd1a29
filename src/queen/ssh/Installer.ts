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

/** What an installation came to. `engine`: whether llama models can be run there. */
export type Installed = {
  readonly alias: string
  readonly version: string
  readonly state: "installed"
  readonly changed: boolean
  readonly node: string
  readonly engine: "installed" | "missing"
}

/** What a removal came to. */
export type Uninstalled = {
  readonly alias: string
  readonly state: "uninstalled"
  readonly changed: boolean
}

/**
 * Puts this rbee on another machine, and removes it there. Both may be repeated. What is there stays in use until the
 * new program is whole and has run; the switch to it is one rename.
 */
export class Installer extends Context.Service<
  Installer,
  {
    readonly install: (
      target: SshTarget,
      entry: HiveEntry,
      narrate: Narrate
    ) => Effect.Effect<Installed, InstallError>
    /** Stops the hive first. Models stay. */
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

const make = Effect.gen(function* () {
  const ssh = yield* Ssh
  const plan = yield* makePlanner
  const deliver = yield* makeDelivery
  const tokens = yield* HiveTokens
  const remoteHive = yield* RemoteHive

  const look = Effect.fnUntraced(function* (target: SshTarget, binaryPath: string) {
    const said = parseScriptOutput(yield* ssh.run(target, probe, [binaryPath]))
    const foreignFile = said.first("stranger")
    if (foreignFile !== undefined) return yield* new OtherProgram({ hive: target.alias, file: foreignFile })
    const machine = machineFrom(said, yield* requireValue(said, target.alias, "data"))
    if (!("unknown" in machine)) return machine
    return yield* new UnknownPlatform({ hive: target.alias, platform: machine.unknown })
  })

  const switchTo = Effect.fnUntraced(function* (
    target: SshTarget,
    entry: HiveEntry,
    { node, program }: InstallPlan
  ) {
    const kept = yield* tokens.find(target.alias)
    const fresh = () => Redacted.make(randomBytes(tokenBytes).toString("base64url"))
    const token = Option.getOrElse(kept, fresh)
    const must = Option.isSome(kept) ? "yes" : "no"
    const args = [entry.binaryPath ?? "", program, node.file, Redacted.value(token), must]
    const said = parseScriptOutput(yield* ssh.run(target, activate, args))
    // Another queen, or its owner, may have given that machine a token before.
    const existingToken = said.first("token")
    yield* tokens.save(target.alias, existingToken === undefined ? token : Redacted.make(existingToken))
    return said
  })

  const install = Effect.fn("Installer.install")(function* (
    target: SshTarget,
    entry: HiveEntry,
    narrate: Narrate
  ) {
    yield* narrate("hive_install", `Looking at machine '${target.alias}'`)
    const machine = yield* look(target, entry.binaryPath ?? "")
    const planned = yield* plan(target, machine)
    yield* deliver(target, machine, planned.parts, planned.node, narrate)
    const said = yield* switchTo(target, entry, planned)

    const changed = planned.parts.length > 0 || said.first("switched") !== undefined
    yield* narrate(
      "hive_install",
      changed
        ? `rbee ${version} is installed on '${target.alias}', with Node ${planned.node.version}`
        : `rbee ${version} is installed on '${target.alias}' already`
    )
    if (!planned.hasEngine) {
      yield* narrate("hive_install", "The llama engine is not there; run 'rbee engine install llama' there")
    }
    if (said.all("kept").length > 0) {
      const again = `'rbee hive stop ${target.alias}' and 'rbee hive start ${target.alias}'`
      yield* narrate(
        "hive_install",
        `What runs there still runs from the program before; ${again} change that`
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
          narrate("hive_uninstall", "No hive to stop: rbee is not there")
        )
      )
    const token = yield* tokens.find(target.alias)
    const value = Option.match(token, { onNone: () => "", onSome: Redacted.value })
    const said = parseScriptOutput(yield* ssh.run(target, remove, [entry.binaryPath ?? "", value]))
    yield* tokens.delete(target.alias)
    const changed = said.all("removed").length > 0
    const data = said.first("data") ?? "the data folder"
    yield* narrate(
      "hive_uninstall",
      changed
        ? `rbee is removed from '${target.alias}'; its models stay in ${data}/models`
        : `rbee was not installed on '${target.alias}'`
    )
    return { alias: target.alias, state: "uninstalled", changed } as const
  })

  return Installer.of({ install, uninstall })
})
