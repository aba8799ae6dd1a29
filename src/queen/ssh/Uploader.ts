import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type { Narrate } from "../../job/withNarration.ts"
import { Settings } from "../../settings/Settings.ts"
import { version } from "../../system/Program.ts"
import type { FileSet } from "./FileSet.ts"
import { InstallBundle, type InstallBundleError } from "./InstallBundle.ts"
import { NodeMissing, NoSpace, ProgramBroken, TransferDamaged } from "./installErrors.ts"
import { makeIncomingScript, removeIncomingScript, unpackScript } from "./installScripts.ts"
import { type FoundNode, minNodeVersion, type RemoteMachine } from "./RemoteMachine.ts"
import {
  parseScriptOutput,
  requireValue,
  type ScriptOutput,
  type UnexpectedScriptOutput
} from "./ScriptOutput.ts"
import { Ssh } from "./Ssh.ts"
import type { SshError } from "./SshErrors.ts"
import type { SshTarget } from "./SshTarget.ts"

/** A part of an installation to upload. */
export interface InstallPart {
  readonly kind: "engine" | "node" | "program"
  readonly contents: FileSet
  /** Its folder below the machine's programs. */
  readonly name: string
  /** The version that it must report on the machine; the engine reports none. */
  readonly reportedVersion: string
}

/** The parts for a machine, in the order of upload, and the Node that runs the program there. */
export interface Upload {
  readonly machine: RemoteMachine
  readonly parts: ReadonlyArray<InstallPart>
  readonly node: FoundNode
}

export type UploadError =
  | NodeMissing
  | NoSpace
  | InstallBundleError
  | ProgramBroken
  | SshError
  | TransferDamaged
  | UnexpectedScriptOutput

/**
 * Uploads parts of an installation to another machine. Each part is verified there, by its SHA-256 and by running it, before
 * it is moved into place. A failed or interrupted upload leaves nothing behind.
 */
export class Uploader extends Context.Service<
  Uploader,
  {
    readonly upload: (target: SshTarget, upload: Upload, narrate: Narrate) => Effect.Effect<void, UploadError>
  }
>()("rbee/queen/ssh/Uploader") {
  static readonly layerNoDeps = Layer.effect(
    Uploader,
    Effect.suspend(() => make)
  )
}

const partTitles = {
  program: `rbee ${version}`,
  node: `Node ${process.versions.node}`,
  engine: "the llama engine"
}

/** Fails unless the machine has space for the archives and their contents. */
const checkSpace = ({ alias }: SshTarget, { machine: { data, freeBytes }, parts }: Upload) => {
  const neededBytes = 2 * parts.reduce((sum, { contents }) => sum + contents.bytes, 0)
  return freeBytes < neededBytes
    ? Effect.fail(new NoSpace({ hive: alias, folder: data, freeBytes, neededBytes }))
    : Effect.void
}

/** Why the machine did not accept a part; undefined when it is in place. */
const unpackError = (hive: string, kind: InstallPart["kind"], report: ScriptOutput) => {
  if (report.first("placed") !== undefined) return undefined
  const output = report.first("broken")
  if (output === undefined) return new TransferDamaged({ hive, part: kind })
  if (kind === "program") return new ProgramBroken({ hive, output })
  const why = `this machine's build is incompatible (${output})`
  return new NodeMissing({ hive, found: [], needed: minNodeVersion, why })
}

const make = Effect.gen(function* () {
  const ssh = yield* Ssh
  const bundle = yield* InstallBundle
  const { timeouts } = yield* Settings

  /** Creates a folder for archives on the machine, which the scope removes. */
  const incomingFolder = (target: SshTarget) =>
    Effect.acquireRelease(
      Effect.flatMap(ssh.run(target, makeIncomingScript), (output) =>
        requireValue(parseScriptOutput(output), target.alias, "incoming")
      ),
      (folder) => Effect.ignore(ssh.run(target, removeIncomingScript, [folder]))
    )

  const uploadPart = Effect.fnUntraced(function* (
    target: SshTarget,
    part: InstallPart,
    incoming: string,
    node: FoundNode,
    narrate: Narrate
  ) {
    const archive = yield* bundle.pack(part.contents, part.kind)
    const size = `${(archive.bytes / 1_000_000).toFixed(1)} MB`
    yield* narrate("hive_install", `Copying ${partTitles[part.kind]} to '${target.alias}' (${size})`)
    yield* ssh.copy(target, [archive.file], incoming)
    const args = [incoming, part.kind, archive.sha256, part.name, node.file, part.reportedVersion]
    const output = yield* ssh.run(target, unpackScript, args, timeouts.copy)
    const error = unpackError(target.alias, part.kind, parseScriptOutput(output))
    if (error !== undefined) return yield* error
  }, Effect.scoped)

  return Uploader.of({
    upload: Effect.fn("Uploader.upload")(function* (target, upload, narrate) {
      if (upload.parts.length === 0) return
      yield* checkSpace(target, upload)
      const incoming = yield* incomingFolder(target)
      for (const part of upload.parts) yield* uploadPart(target, part, incoming, upload.node, narrate)
    }, Effect.scoped)
  })
})
