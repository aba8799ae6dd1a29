import { createHash } from "node:crypto"
import * as path from "node:path"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import * as Layer from "effect/Layer"
import type * as Option from "effect/Option"
import type * as PlatformError from "effect/PlatformError"
import * as ChildProcess from "effect/process/ChildProcess"
import * as ChildProcessSpawner from "effect/process/ChildProcessSpawner"
import * as Schema from "effect/Schema"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import { Paths } from "../../settings/Paths.ts"
import { systemSentence } from "../../settings/systemProblem.ts"
import { programFile } from "../../system/Program.ts"
import { findEngine, type MachineKind } from "./enginePackages.ts"
import { checksumOf, type FileSet, collectFiles } from "./FileSet.ts"

/** A part of an installation could not be packed. */
export class InstallBundleError extends Schema.TaggedError<InstallBundleError>()("PayloadError", {
  what: Schema.String,
  reason: Schema.String
}) {
  override get message() {
    return `Could not pack ${this.what}: ${this.reason}`
  }
}

/** A `.tar.gz` file that is deleted with its scope. `sha256` in hexadecimal digits. */
export interface Archive {
  readonly file: string
  readonly bytes: number
  readonly sha256: string
}

/** The parts that this machine can install on another: rbee, the Node that runs it, the llama engine. */
export class InstallBundle extends Context.Service<
  InstallBundle,
  {
    /** The files of rbee, and a checksum that identifies the build. */
    readonly program: Effect.Effect<FileSet & { readonly checksum: string }, InstallBundleError>
    /** The Node of this process, as `bin/node`. */
    readonly node: Effect.Effect<FileSet, InstallBundleError, Scope.Scope>
    /** The llama engine for such a machine, as `node_modules`; none when this machine lacks it. */
    readonly engine: (
      kind: MachineKind
    ) => Effect.Effect<Option.Option<FileSet & { readonly version: string }>, InstallBundleError>
    readonly pack: (
      contents: FileSet,
      name: string
    ) => Effect.Effect<Archive, InstallBundleError, Scope.Scope>
  }
>()("rbee/queen/ssh/InstallBundle") {
  static readonly layerNoDeps = Layer.effect(
    InstallBundle,
    Effect.suspend(() => make)
  )
}

// The package's folder, and the files that `bin.js`, a hive's thread and a worker load from it.
const home = path.dirname(path.dirname(programFile))
const programParts = [
  "package.json",
  "dist/bin.js",
  "dist/cli.js",
  "dist/hive/download/hashThread.js",
  "dist/worker/main.js",
  "dist/worker/tiny"
]

const maxComplaintLength = 300

const unreadable = (what: string) => (error: PlatformError.PlatformError) =>
  new InstallBundleError({ what, reason: systemSentence(error) })

const make = Effect.gen(function* () {
  const fs = yield* FileSystem.FileSystem
  const spawner = yield* ChildProcessSpawner.ChildProcessSpawner
  const { data } = yield* Paths
  const withFiles = Effect.provideService(FileSystem.FileSystem, fs)

  const program = Effect.gen(function* () {
    const contents = yield* collectFiles(home, programParts)
    return { ...contents, checksum: yield* checksumOf(contents) }
  }).pipe(withFiles, Effect.mapError(unreadable("rbee")))

  const node = Effect.gen(function* () {
    const root = yield* fs.makeTempDirectoryScoped({ prefix: "rbee-node-" })
    yield* fs.makeDirectory(path.join(root, "bin"))
    yield* fs.symlink(process.execPath, path.join(root, "bin", "node"))
    return yield* collectFiles(root, ["bin/node"])
  }).pipe(withFiles, Effect.mapError(unreadable("Node")))

  const engine = Effect.fn("InstallBundle.engine")(
    (kind: MachineKind) => findEngine([path.join(data, "engines", "llama"), ...above(home)], kind),
    withFiles,
    Effect.mapError(unreadable("the llama engine"))
  )

  const tar = Effect.fnUntraced(function* (file: string, list: string, root: string) {
    // Otherwise tar on macOS adds an attributes file for each file.
    const child = yield* spawner.spawn(
      ChildProcess.make("tar", ["-czhf", file, "-C", root, "-T", list], {
        stdin: "ignore",
        stdout: "ignore",
        env: { COPYFILE_DISABLE: "1" },
        extendEnv: true
      })
    )
    const complaint = yield* child.stderr.pipe(Stream.decodeText(), Stream.mkString)
    return (yield* child.exitCode) === 0 ? undefined : complaint.trim().slice(0, maxComplaintLength)
  }, Effect.scoped)

  const sha256 = Effect.fnUntraced(function* (file: string) {
    const hash = createHash("sha256")
    yield* Stream.runForEach(fs.stream(file), (chunk) => Effect.sync(() => hash.update(chunk)))
    return hash.digest("hex")
  })

  const pack = Effect.fn("InstallBundle.pack")(function* ({ files, root }: FileSet, name: string) {
    const failed = unreadable(name)
    const folder = yield* Effect.mapError(fs.makeTempDirectoryScoped({ prefix: "rbee-bundle-" }), failed)
    const file = path.join(folder, `${name}.tar.gz`)
    const list = path.join(folder, "files")
    yield* Effect.mapError(fs.writeFileString(list, `${files.join("\n")}\n`), failed)
    const complaint = yield* Effect.mapError(tar(file, list, root), failed)
    if (complaint !== undefined)
      return yield* new InstallBundleError({ what: name, reason: `tar: ${complaint}` })
    const { size } = yield* Effect.mapError(fs.stat(file), failed)
    return { file, bytes: Number(size), sha256: yield* Effect.mapError(sha256(file), failed) }
  })

  return InstallBundle.of({ program, node, engine, pack })
})

/** The folder and all its parents, the nearest first, in which Node looks for packages. */
const above = (folder: string): ReadonlyArray<string> => {
  const next = path.dirname(folder)
  return next === folder ? [folder] : [folder, ...above(next)]
}
