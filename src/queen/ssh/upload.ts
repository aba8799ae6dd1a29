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

/** A part of an installation to upload. */
export interface Part {
  readonly kind: "engine" | "node" | "program"
  readonly contents: FileSet
  /** Its folder below the machine's programs. */
  readonly name: string
  /** The version that it must report. */
  readonly names: string
}

const describe = {
  program: `rbee ${version}`,
  node: `Node ${process.versions.node}`,
  engine: "the llama engine"
}

/**
 * A function that uploads parts to another machine. Each part is verified there, by its SHA-256 and by running it, before it
 * is moved into place. A failed or interrupted upload leaves nothing behind.
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
    // Unpacking needs the archive and its contents.
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
    const archive = yield* payload.pack(part.contents, part.kind)
    const size = `${(archive.bytes / 1_000_000).toFixed(1)} MB`
    yield* narrate("hive_install", `Copying ${describe[part.kind]} to '${target.alias}' (${size})`)
    yield* ssh.copy(target, [archive.file], incoming)
    const args = [incoming, part.kind, archive.sha256, part.name, node.file, part.names]
    const report = parseScriptOutput(yield* ssh.run(target, unpack, args, timeouts.copy))
    if (report.first("placed") !== undefined) return
    const output = report.first("broken")
    if (output === undefined) return yield* new TransferDamaged({ hive: target.alias, part: part.kind })
    if (part.kind === "program") return yield* new ProgramBroken({ hive: target.alias, output })
    return yield* new NodeMissing({
      hive: target.alias,
      found: [],
      needed: neededNode,
      why: `this machine's build is incompatible (${output})`
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
