import * as path from "node:path"
import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import { collectFiles } from "./FileSet.ts"

/** A kind of machine in the terms of npm manifests: `process.platform`, `process.arch`, and its GPU backends. */
export interface MachineKind {
  readonly platform: string
  readonly arch: string
  readonly backends: ReadonlyArray<string>
}

const Names = Schema.optionalKey(Schema.Record(Schema.String, Schema.String))
const Manifest = Schema.Struct({
  name: Schema.String,
  version: Schema.String,
  dependencies: Names,
  optionalDependencies: Names,
  os: Schema.optionalKey(Schema.Array(Schema.String)),
  cpu: Schema.optionalKey(Schema.Array(Schema.String))
})
const decode = Schema.decodeUnknownOption(Schema.fromJsonString(Manifest))

const engine = "node-llama-cpp"
const gpuBackends = ["cuda", "vulkan"]

/** An installed npm package: its name, and its folder relative to the one with `node_modules`. */
interface Package {
  readonly name: string
  readonly folder: string
  readonly manifest: typeof Manifest.Type
}

const fits = ({ manifest, name }: Package, kind: MachineKind) =>
  // An installation may replace an unwanted package by an empty one with another name.
  manifest.name === name &&
  (manifest.os?.includes(kind.platform) ?? true) &&
  (manifest.cpu?.includes(kind.arch) ?? true) &&
  gpuBackends.every((backend) => !name.split("-").includes(backend) || kind.backends.includes(backend))

// Workers need neither llama.cpp's sources, which are the largest part of the package, nor types and source maps.
const isNeeded = (file: string) =>
  !/\/node-llama-cpp\/(llama\/(?!.*\.json$)|templates\/)|\.d\.[cm]?ts$|\.map$/.test(file)

/**
 * The llama engine for a kind of machine, from the first of the folders that has it: node-llama-cpp with its version, and the
 * packages that it depends on, as Node resolves them. None when it is not installed, not for such a machine, or spread over
 * other folders.
 */
export const findEngine = Effect.fn("enginePackages.findEngine")(function* (
  folders: ReadonlyArray<string>,
  kind: MachineKind
) {
  const fs = yield* FileSystem.FileSystem

  const read = Effect.fnUntraced(function* (root: string, folder: string, name: string) {
    const file = path.join(root, folder, "package.json")
    const manifest = Option.flatMap(yield* Effect.option(fs.readFileString(file)), decode)
    return Option.map(manifest, (manifest): Package => ({ name, folder, manifest }))
  })

  const find = Effect.fnUntraced(function* (root: string, from: string, name: string) {
    for (const above of foldersAbove(from)) {
      const found = yield* read(root, path.join(above, "node_modules", name), name)
      if (Option.isSome(found)) return found
    }
    return Option.none<Package>()
  })

  const closure = Effect.fnUntraced(function* (root: string, first: Package) {
    const packages = new Map([[first.folder, first]])
    for (const { folder, manifest } of packages.values()) {
      const optional = Object.keys(manifest.optionalDependencies ?? {})
      const required = Object.keys(manifest.dependencies ?? {}).filter((name) => !optional.includes(name))
      for (const name of [...required, ...optional]) {
        const found = yield* find(root, folder, name)
        if (Option.isSome(found) && fits(found.value, kind)) packages.set(found.value.folder, found.value)
        else if (Option.isNone(found) && required.includes(name)) return Option.none()
      }
    }
    return Option.some([...packages.values()])
  })

  for (const root of folders) {
    const first = yield* find(root, "", engine)
    if (Option.isNone(first)) continue
    const packages = yield* closure(root, first.value)
    const binaries = `@${engine}/`
    if (Option.isNone(packages) || !packages.value.some(({ name }) => name.startsWith(binaries))) {
      return Option.none()
    }
    const contents = yield* Effect.forEach(packages.value, ({ folder }) =>
      // A required package in a nested node_modules has its own entry in the list.
      collectFiles(root, [folder], (file) => isNeeded(file) && !inNested(folder, file))
    )
    return Option.some({
      version: first.value.manifest.version,
      root,
      files: contents.flatMap(({ files }) => files),
      bytes: contents.reduce((sum, { bytes }) => sum + bytes, 0)
    })
  }
  return Option.none()
})

const inNested = (folder: string, file: string) =>
  path.relative(folder, file).split(path.sep).includes("node_modules")

/** The folder and its parents up to the root, the nearest first. */
const foldersAbove = (folder: string): ReadonlyArray<string> =>
  folder === "" || folder === "." ? [""] : [folder, ...foldersAbove(path.dirname(folder))]
