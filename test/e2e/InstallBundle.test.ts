import { execFileSync, spawn } from "node:child_process"
import { createHash } from "node:crypto"
import { cpSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { NodeServices } from "@effect/platform-node"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Layer, Option } from "effect"
import { findEngine } from "../../src/queen/ssh/enginePackages.ts"
import { checksumOf, type FileSet, collectFiles } from "../../src/queen/ssh/FileSet.ts"
import { type Archive, InstallBundle } from "../../src/queen/ssh/InstallBundle.ts"
import { Paths } from "../../src/settings/Paths.ts"
import { version } from "../../src/system/Program.ts"
import { freePort } from "../support/ports.ts"
import { temporaryFolder } from "../support/rbee.ts"

const thisKind = { platform: process.platform, arch: process.arch, backends: [] }

const withBundle = Effect.provide(
  InstallBundle.layerNoDeps.pipe(
    Layer.provide(Layer.unwrap(Effect.map(temporaryFolder, (folder) => Paths.layerAt(folder)))),
    Layer.provideMerge(NodeServices.layer)
  )
)

const unpack = (parcel: Archive, folder: string) =>
  execFileSync("tar", ["-xzf", parcel.file, "-C", folder], { stdio: "pipe" })

const sha256 = (file: string) => createHash("sha256").update(readFileSync(file)).digest("hex")

const packed = (contents: FileSet, folder: string) =>
  Effect.gen(function* () {
    const parcel = yield* (yield* InstallBundle).pack(contents, "rbee")
    unpack(parcel, folder)
    return parcel
  })

/** What a program prints in an empty folder, with an empty home and nothing on the PATH. */
const alone = (folder: string, args: ReadonlyArray<string>) => {
  const home = mkdtempSync(join(folder, "home-"))
  return execFileSync(process.execPath, args, {
    cwd: home,
    encoding: "utf8",
    stdio: ["ignore", "pipe", "pipe"],
    env: { HOME: home, PATH: "/nonexistent" }
  })
}

const writePackage = (folder: string, manifest: { readonly name: string } & Record<string, unknown>) => {
  mkdirSync(folder, { recursive: true })
  writeFileSync(join(folder, "package.json"), JSON.stringify({ version: "1.0.0", ...manifest }))
  writeFileSync(join(folder, "index.js"), "")
}

describe("the program's archive", () => {
  it.live("runs on a machine with only Node", () =>
    Effect.gen(function* () {
      const folder = yield* temporaryFolder
      const parcel = yield* packed(yield* (yield* InstallBundle).program, folder)
      assert.strictEqual(parcel.sha256, sha256(parcel.file))
      assert.isBelow(parcel.bytes, 5_000_000)
      const bin = join(folder, "dist", "bin.js")
      assert.strictEqual(alone(folder, [bin, "--version"]).trim(), `rbee v${version}`)
      assert.include(alone(folder, [bin, "stop", "--json"]), `"queen":"stopped"`)
    }).pipe(withBundle, Effect.scoped)
  )

  it.live("has a checksum of its contents, independent of the time of packing", () =>
    Effect.gen(function* () {
      const { checksum } = yield* (yield* InstallBundle).program
      assert.match(checksum, /^[0-9a-f]{64}$/)
      const folder = yield* temporaryFolder
      const program = yield* (yield* InstallBundle).program
      yield* packed(program, folder)
      const copy = yield* collectFiles(folder, program.files)
      assert.strictEqual(yield* checksumOf(copy), checksum)
      writeFileSync(join(folder, "dist", "bin.js"), "other")
      assert.notStrictEqual(yield* checksumOf(copy), checksum)
    }).pipe(withBundle, Effect.scoped)
  )

  it.live("contains this process's Node", () =>
    Effect.gen(function* () {
      const contents = yield* (yield* InstallBundle).node
      assert.deepStrictEqual(contents.files, ["bin/node"])
      assert.isAbove(contents.bytes, 10_000_000)
    }).pipe(withBundle, Effect.scoped)
  )

  it.live("reports tar's error", () =>
    Effect.gen(function* () {
      const folder = yield* temporaryFolder
      const error = yield* (yield* InstallBundle)
        .pack({ root: folder, files: ["missing"], bytes: 0 }, "rbee")
        .pipe(Effect.flip)
      assert.strictEqual(error._tag, "PayloadError")
      assert.match(error.message, /Could not pack rbee: tar: .*missing/)
    }).pipe(withBundle, Effect.scoped)
  )
})

describe("the engine's archive", () => {
  it.live(
    "runs a worker from a folder with nothing else",
    () =>
      Effect.gen(function* () {
        const folder = yield* temporaryFolder
        const bundle = yield* InstallBundle
        yield* packed(yield* bundle.program, folder)
        const found = yield* bundle.engine(thisKind)
        if (Option.isNone(found)) return assert.fail("the engine is not installed here")
        const parcel = yield* packed(found.value, folder)
        assert.isBelow(parcel.bytes, 40_000_000)
        assert.notInclude(found.value.files.join("\n"), "gitRelease.bundle")

        const port = yield* freePort
        const home = mkdtempSync(join(folder, "home-"))
        const worker = join(folder, "dist", "worker")
        const model = join(worker, "tiny", "rbee-tiny-novelist-q8_0.gguf")
        yield* Effect.acquireRelease(
          Effect.sync(() =>
            spawn(
              process.execPath,
              [join(worker, "main.js"), "--model", model, "--model-id", "tiny", "--port", String(port)],
              { cwd: home, env: { HOME: home, PATH: "/usr/bin:/bin" }, stdio: "ignore" }
            )
          ),
          (child) => Effect.sync(() => child.kill("SIGKILL"))
        )
        const answer = yield* Effect.tryPromise(() =>
          fetch(`http://127.0.0.1:${port}/v1/completions`, {
            method: "POST",
            body: JSON.stringify({ prompt: "It was", max_tokens: 4 }),
            headers: { "content-type": "application/json" }
          }).then((response) =>
            response.ok ? response.text() : Promise.reject(new Error(response.statusText))
          )
        ).pipe(Effect.eventually, Effect.timeout("15 seconds"))
        assert.include(answer, `"choices"`)
      }).pipe(withBundle, Effect.scoped),
    30_000
  )

  it.live("contains exactly the packages that the platform needs", () =>
    Effect.gen(function* () {
      const root = yield* temporaryFolder
      const modules = join(root, "node_modules")
      writePackage(join(modules, "node-llama-cpp"), {
        name: "node-llama-cpp",
        dependencies: { needed: "1" },
        optionalDependencies: {
          "@node-llama-cpp/linux-x64": "1",
          "@node-llama-cpp/linux-x64-cuda": "1",
          "@node-llama-cpp/linux-x64-vulkan": "1",
          "@node-llama-cpp/mac-arm64-metal": "1",
          "@node-llama-cpp/not-there": "1"
        }
      })
      mkdirSync(join(modules, "node-llama-cpp", "llama", "addon"), { recursive: true })
      writeFileSync(join(modules, "node-llama-cpp", "llama", "addon", "a.cpp"), "")
      writePackage(join(modules, "needed"), { name: "needed", dependencies: { deep: "2" } })
      writePackage(join(modules, "needed", "node_modules", "deep"), { name: "deep" })
      writePackage(join(modules, "deep"), { name: "deep" })
      writePackage(join(modules, "stranger"), { name: "stranger" })
      const binary = (name: string, os: string, cpu: string) =>
        writePackage(join(modules, "@node-llama-cpp", name), {
          name: `@node-llama-cpp/${name}`,
          os: [os],
          cpu: [cpu]
        })
      binary("linux-x64", "linux", "x64")
      binary("linux-x64-cuda", "linux", "x64")
      binary("mac-arm64-metal", "darwin", "arm64")
      writePackage(join(modules, "@node-llama-cpp", "linux-x64-vulkan"), { name: "empty-npm-package" })

      const packagesFor = (platform: string, arch: string, backends: ReadonlyArray<string>) =>
        Effect.map(findEngine([join(root, "elsewhere"), root], { platform, arch, backends }), (found) =>
          Option.toArray(found).flatMap(({ files }) =>
            files
              .filter((file) => file.endsWith("index.js"))
              .map((file) => file.slice("node_modules/".length, -"/index.js".length))
              .toSorted()
          )
        )
      const always = ["needed", "needed/node_modules/deep", "node-llama-cpp"]
      assert.deepStrictEqual(yield* packagesFor("linux", "x64", []), ["@node-llama-cpp/linux-x64", ...always])
      assert.deepStrictEqual(yield* packagesFor("linux", "x64", ["cuda", "vulkan"]), [
        "@node-llama-cpp/linux-x64",
        "@node-llama-cpp/linux-x64-cuda",
        ...always
      ])
      assert.deepStrictEqual(yield* packagesFor("darwin", "arm64", []), [
        "@node-llama-cpp/mac-arm64-metal",
        ...always
      ])
      assert.deepStrictEqual(yield* packagesFor("linux", "riscv64", []), [])
    }).pipe(Effect.provide(NodeServices.layer), Effect.scoped)
  )

  it.live("does not exist if a required package is missing", () =>
    Effect.gen(function* () {
      const root = yield* temporaryFolder
      const modules = join(root, "node_modules")
      writePackage(join(modules, "node-llama-cpp"), {
        name: "node-llama-cpp",
        dependencies: { needed: "1" },
        optionalDependencies: { "@node-llama-cpp/linux-x64": "1" }
      })
      writePackage(join(modules, "@node-llama-cpp", "linux-x64"), { name: "@node-llama-cpp/linux-x64" })
      const find = findEngine([root], { platform: "linux", arch: "x64", backends: [] })
      assert.isTrue(Option.isNone(yield* find))
      cpSync(join(modules, "@node-llama-cpp", "linux-x64"), join(modules, "needed"), { recursive: true })
      writePackage(join(modules, "needed"), { name: "needed" })
      assert.isTrue(Option.isSome(yield* find))
      assert.includeMembers(readdirSync(modules), ["needed"])
    }).pipe(Effect.provide(NodeServices.layer), Effect.scoped)
  )
})
