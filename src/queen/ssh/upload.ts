import * as Effect from "effect/Effect"
import type { Narrate } from "../../job/withNarration.ts"
import { Settings } from "../../settings/Settings.ts"
import { version } from "../../system/Program.ts"
import type { FileSet } from "./FileSet.ts"
import { InstallBundle } from "./InstallBundle.ts"
import { NodeMissing, NoSpace, ProgramBroken, TransferDamaged } from "./installErrors.ts"
import { makeIncoming, removeIncoming, unpack } from "./installScripts.ts"
import { type FoundNode, neededNode, type RemoteMachine } from "./RemoteMachine.ts"
import { requireValue, parseScriptOutput } from "./ScriptOutput.ts"
import { Ssh } from "./Ssh.ts"
import { type SshTarget } from "./SshTarget.ts"

/** A part that is to be carried there. */
export interface Part {
  readonly kind: "engine" | "node" | "program"
  readonly contents: FileSet
  /** The folder among the programs there. */
  readonly name: string
  /** What it must answer when it is asked for its version. */
  readonly names: string
}

const describe = {
  program: `rbee ${version}`,
  node: `Node ${process.versions.node}`,
  engine: "the llama engine"
}

/**
 * Makes what carries parts to another machine. Each is looked at there before it comes to its place: its SHA-256, and
 * whether it runs. Nothing of a delivery that failed or was left stays there.
 */
export const makeDelivery = Effect.gen(function* () {
  const ssh = yield* Ssh
  const payload = yield* InstallBundle
  const { timeouts } = yield* Settings

  const checkSpace = Effect.fnUntraced(function* (
    target: SshTarget,
    { data, freeBytes }: RemoteMachine,
    parts: ReadonlyArray<Part>
  ) {
    // While it is unpacked, what came is there twice, once compressed.
    const neededBytes = 2 * parts.reduce((sum, { contents }) => sum + contents.bytes, 0)
    if (freeBytes < neededBytes) {
      return yield* new NoSpace({ hive: target.alias, folder: data, freeBytes, neededBytes })
    }
  })

  const uploadPart = Effect.fnUntraced(function* (
    target: SshTarget,
    part: Part,
    incoming: string,
    node: FoundNode,
    narrate: Narrate
  ) {
    const parcel = yield* payload.pack(part.contents, part.kind)
    const size = `${(parcel.bytes / 1_000_000).toFixed(1)} MB`
    yield* narrate("hive_install", `Copying ${describe[part.kind]} to '${target.alias}' (${size})`)
    yield* ssh.copy(target, [parcel.file], incoming)
    const args = [incoming, part.kind, parcel.sha256, part.name, node.file, part.names]
    const said = parseScriptOutput(yield* ssh.run(target, unpack, args, timeouts.copy))
    if (said.first("placed") !== undefined) return
    const output = said.first("broken")
    if (output === undefined) return yield* new TransferDamaged({ hive: target.alias, part: part.kind })
    if (part.kind === "program") return yield* new ProgramBroken({ hive: target.alias, output })
    return yield* new NodeMissing({
      hive: target.alias,
      found: [],
      needed: neededNode,
      why: `this machine's does not run there (${output})`
    })
  }, Effect.scoped)

  const deliver = Effect.fn("Delivery.deliver")(function* (
    target: SshTarget,
    machine: RemoteMachine,
    parts: ReadonlyArray<Part>,
    node: FoundNode,
    narrate: Narrate
  ) {
    if (parts.length === 0) return
    yield* checkSpace(target, machine, parts)
    const incoming = yield* Effect.acquireRelease(
      Effect.flatMap(ssh.run(target, makeIncoming), (output) =>
        requireValue(parseScriptOutput(output), target.alias, "incoming")
      ),
      (folder) => Effect.ignore(ssh.run(target, removeIncoming, [folder]))
    )
    yield* Effect.forEach(parts, (part) => uploadPart(target, part, incoming, node, narrate), {
      discard: true
    })
  }, Effect.scoped)

  return deliver
})
