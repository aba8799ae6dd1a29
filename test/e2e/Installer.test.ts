import { execFileSync, spawn } from "node:child_process"
import {
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  truncateSync,
  writeFileSync
} from "node:fs"
import { dirname, join } from "node:path"
import { NodeServices } from "@effect/platform-node"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Layer, Option } from "effect"
import type { HiveEntry } from "../../src/hives/HivesConfFormat.ts"
import { HiveTokens } from "../../src/hives/HiveTokens.ts"
import { InstallBundle } from "../../src/queen/ssh/InstallBundle.ts"
import { Installer } from "../../src/queen/ssh/Installer.ts"
import { RemoteHive } from "../../src/queen/ssh/RemoteHive.ts"
import { Paths } from "../../src/settings/Paths.ts"
import { Settings } from "../../src/settings/Settings.ts"
import { version } from "../../src/system/Program.ts"
import { addProgram, entry, listener, type Machine, makeMachine, sshTo, target } from "../support/machine.ts"
import { temporaryFolder } from "../support/rbee.ts"
import { withFastGzip } from "../support/wrapProgram.ts"

interface Scene {
  readonly machine: Machine
  /** The configuration folder of this machine. */
  readonly config: string
  readonly said: ReadonlyArray<string>
  readonly install: (hive?: HiveEntry) => ReturnType<Installer["Service"]["install"]>
  readonly uninstall: (hive?: HiveEntry) => ReturnType<Installer["Service"]["uninstall"]>
}

// The engine is large: only one test carries it.
const withoutEngine = Layer.effect(
  InstallBundle,
  Effect.map(InstallBundle, (bundle) => InstallBundle.of({ ...bundle, engine: () => Effect.succeedNone }))
)

/** A machine with this process's Node on its PATH, and the installer here. */
const scene = <A, E>(
  test: (scene: Scene) => Effect.Effect<A, E>,
  options: { readonly engine?: boolean } = {}
) =>
  Effect.gen(function* () {
    const folder = yield* temporaryFolder
    const path = process.env["PATH"]
    process.env["PATH"] = withFastGzip(join(folder, "fast"))
    yield* Effect.addFinalizer(() => Effect.sync(() => void (process.env["PATH"] = path)))
    const machine = makeMachine(folder)
    addProgram(machine, "node", `exec '${process.execPath}' "$@"`)
    const here = join(folder, "here")
    const bundle = InstallBundle.layerNoDeps
    const layer = Installer.layerNoDeps.pipe(
      Layer.provide(RemoteHive.layerNoDeps),
      Layer.provide([
        sshTo(machine),
        HiveTokens.layer,
        Settings.layerDefaults(),
        options.engine === true ? bundle : Layer.provide(withoutEngine, bundle)
      ]),
      Layer.provide(Paths.layerAt(here)),
      Layer.provide(NodeServices.layer)
    )
    return yield* Effect.gen(function* () {
      const installer = yield* Installer
      const { say, sentences } = listener()
      return yield* test({
        machine,
        config: join(here, "config"),
        said: sentences,
        install: (hive = entry) => installer.install(target, hive, say),
        uninstall: (hive = entry) => installer.uninstall(target, hive, say)
      })
    }).pipe(Effect.provide(layer))
  }).pipe(Effect.scoped)

const programsOf = ({ rbeeHome }: Machine) => join(rbeeHome, "data", "program")
const launcherOf = ({ rbeeHome }: Machine) => join(rbeeHome, "data", "bin", "rbee")
const tokenOf = ({ rbeeHome }: Machine) => join(rbeeHome, "config", "token")

/** What the launcher prints there. */
const runs = (machine: Machine, launcher = launcherOf(machine), ...args: ReadonlyArray<string>) =>
  execFileSync(launcher, args.length === 0 ? ["--version"] : args, {
    env: machine.environment,
    cwd: "/",
    encoding: "utf8",
    stdio: ["ignore", "pipe", "pipe"]
  }).trim()

const writeFileIn = (file: string, content: string) => {
  mkdirSync(dirname(file), { recursive: true })
  writeFileSync(file, content)
}

describe("Installer.install", () => {
  it.live("installs a working program, and uploads nothing when repeated", () =>
    scene(({ config, install, machine, said }) =>
      Effect.gen(function* () {
        const first = yield* install()
        assert.deepInclude(first, {
          alias: "atlas",
          version,
          state: "installed",
          changed: true,
          engine: "missing"
        })
        assert.strictEqual(runs(machine), `rbee v${version}`)
        assert.deepStrictEqual(machine.copied, ["program.tar.gz"])
        assert.include(said.join("\n"), "rbee engine install llama")
        const before = readdirSync(programsOf(machine))
        assert.lengthOf(before, 1)

        const again = yield* install()
        assert.isFalse(again.changed)
        assert.lengthOf(machine.copied, 1)
        assert.deepStrictEqual(readdirSync(programsOf(machine)), before)
        assert.include(said.join("\n"), "already")

        const token = readFileSync(tokenOf(machine), "utf8")
        assert.match(token, /^[A-Za-z0-9_-]{43}\n$/)
        assert.strictEqual(readFileSync(join(config, "tokens", "atlas"), "utf8"), token)
        for (const file of [tokenOf(machine), join(config, "tokens", "atlas")]) {
          assert.strictEqual(statSync(file).mode & 0o777, 0o600)
        }
        assert.notInclude(said.join("\n"), token.trim())
      })
    )
  )

  it.live("replaces another version atomically, and removes it unless a process runs from it", () =>
    scene(({ install, machine, said }) =>
      Effect.gen(function* () {
        const old = join(programsOf(machine), "0.0.1-old", "dist", "bin.js")
        const older = join(programsOf(machine), "0.0.0-older", "dist", "bin.js")
        for (const file of [old, older]) writeFileIn(file, "setTimeout(() => {}, 60_000)")
        const running = yield* Effect.acquireRelease(
          Effect.sync(() => spawn(process.execPath, [old], { stdio: "ignore" })),
          (child) => Effect.sync(() => child.kill("SIGKILL"))
        )
        yield* install()
        assert.isTrue(existsSync(old))
        assert.isFalse(existsSync(older))
        assert.strictEqual(runs(machine), `rbee v${version}`)
        assert.include(said.join("\n"), "still use the previous version")

        yield* Effect.callback<void>((resume) => {
          running.on("exit", () => resume(Effect.void))
          running.kill("SIGKILL")
        })
        yield* install()
        assert.isFalse(existsSync(old))
      }).pipe(Effect.scoped)
    )
  )

  it.live(
    "uploads Node to a machine with an old one",
    () =>
      scene(({ install, machine }) =>
        Effect.gen(function* () {
          addProgram(machine, "node", "echo v20.1.0")
          const installed = yield* install()
          assert.strictEqual(installed.node, process.versions.node)
          assert.deepStrictEqual(machine.copied, ["node.tar.gz", "program.tar.gz"])
          assert.strictEqual(runs(machine), `rbee v${version}`)
          assert.isFalse((yield* install()).changed)
          assert.lengthOf(machine.copied, 2)
        })
      ),
    60_000
  )

  it.live("asks for a newer Node if this machine's build is incompatible", () =>
    scene(({ install, machine }) =>
      Effect.gen(function* () {
        addProgram(machine, "node", "echo v22.18.0")
        addProgram(machine, "uname", `[ "$1" = -s ] && echo Darwin || echo arm64`)
        const error = yield* Effect.flip(install())
        assert.strictEqual(error._tag, "NodeMissing")
        assert.include(error.message, "has only Node 22.18.0")
        assert.include(error.message, "install Node 22.19 or newer")
        assert.deepStrictEqual(machine.copied, [])
      })
    )
  )

  it.live("rejects an unsupported machine", () =>
    scene(({ install, machine }) =>
      Effect.gen(function* () {
        addProgram(machine, "uname", `[ "$1" = -s ] && echo SunOS || echo sparc64`)
        const error = yield* Effect.flip(install())
        assert.strictEqual(error._tag, "UnknownPlatform")
        assert.include(error.message, "SunOS sparc64")
      })
    )
  )

  it.live("rejects a full disk", () =>
    scene(({ install, machine }) =>
      Effect.gen(function* () {
        addProgram(machine, "df", "echo Filesystem; echo '/dev/some disk 1000 900 100 90% /a mount'")
        const error = yield* Effect.flip(install())
        assert.strictEqual(error._tag, "NoSpace")
        assert.deepInclude(error, { freeBytes: 102_400 })
        assert.deepStrictEqual(machine.copied, [])
      })
    )
  )

  it.live("detects a damaged upload, and keeps the installed version", () =>
    scene(({ install, machine }) =>
      Effect.gen(function* () {
        yield* install()
        const [program = ""] = readdirSync(programsOf(machine))
        const launcher = readFileSync(launcherOf(machine), "utf8")
        rmSync(join(programsOf(machine), program, "dist", "bin.js"))
        machine.onCopy = (file) => truncateSync(file, 100_000)
        const error = yield* Effect.flip(install())
        assert.strictEqual(error._tag, "TransferDamaged")
        assert.strictEqual(readFileSync(launcherOf(machine), "utf8"), launcher)
        assert.deepStrictEqual(readdirSync(programsOf(machine)), [program])

        machine.onCopy = () => {}
        yield* install()
        assert.strictEqual(runs(machine), `rbee v${version}`)
      })
    )
  )

  it.live("does not switch to a program that fails its version check", () =>
    scene(({ install, machine }) =>
      Effect.gen(function* () {
        addProgram(
          machine,
          "node",
          `[ "$1" = --version ] && echo v24.0.0 || { echo no such luck >&2; exit 1; }`
        )
        const error = yield* Effect.flip(install())
        assert.strictEqual(error._tag, "ProgramBroken")
        assert.include(error.message, "no such luck")
        assert.isFalse(existsSync(launcherOf(machine)))
        assert.deepStrictEqual(readdirSync(programsOf(machine)), [])
      })
    )
  )

  it.live("writes the launcher to BinaryPath, but does not overwrite another program", () =>
    scene(({ install, machine, uninstall }) =>
      Effect.gen(function* () {
        const hive = { ...entry, binaryPath: "~/my tools/rbee" }
        const launcher = join(machine.home, "my tools", "rbee")
        yield* install(hive)
        assert.strictEqual(runs(machine, launcher), `rbee v${version}`)
        assert.isFalse(existsSync(launcherOf(machine)))

        writeFileSync(launcher, "#!/bin/sh\necho mine\n")
        const error = yield* Effect.flip(install(hive))
        assert.strictEqual(error._tag, "OtherProgram")
        assert.include(error.message, launcher)
        yield* uninstall(hive)
        assert.strictEqual(runs(machine, launcher), "mine")
      })
    )
  )

  it.live("adopts the machine's token, and requires it later", () =>
    scene(({ config, install, machine }) =>
      Effect.gen(function* () {
        const kept = join(config, "tokens", "atlas")
        writeFileIn(tokenOf(machine), "a-token-of-its-own\n")
        yield* install()
        assert.strictEqual(readFileSync(kept, "utf8"), "a-token-of-its-own\n")
        assert.strictEqual(statSync(tokenOf(machine)).mode & 0o777, 0o600)
        writeFileSync(tokenOf(machine), "another-token-than-ours\n")
        yield* install()
        assert.strictEqual(readFileSync(tokenOf(machine), "utf8"), "a-token-of-its-own\n")
      })
    )
  )

  it.live("replaces an invalid token", () =>
    scene(({ config, install, machine }) =>
      Effect.gen(function* () {
        writeFileIn(tokenOf(machine), "with spaces and so no token\n")
        yield* install()
        const token = readFileSync(tokenOf(machine), "utf8")
        assert.match(token, /^[A-Za-z0-9_-]{43}\n$/)
        assert.strictEqual(readFileSync(join(config, "tokens", "atlas"), "utf8"), token)
      })
    )
  )

  it.live(
    "uploads the engine once",
    () =>
      scene(
        ({ install, machine }) =>
          Effect.gen(function* () {
            const installed = yield* install()
            assert.strictEqual(installed.engine, "installed")
            assert.deepStrictEqual(machine.copied, ["program.tar.gz", "engine.tar.gz"])
            const engine = join(
              machine.rbeeHome,
              "data",
              "engines",
              "llama",
              "node_modules",
              "node-llama-cpp"
            )
            assert.isTrue(existsSync(join(engine, "package.json")))
            assert.isFalse((yield* install()).changed)
            assert.lengthOf(machine.copied, 2)
          }),
        { engine: true }
      ),
    60_000
  )
})

describe("Installer.uninstall", () => {
  it.live("removes the installation and keeps the models; succeeds when repeated", () =>
    scene(({ config, install, machine, said, uninstall }) =>
      Effect.gen(function* () {
        yield* install()
        const model = join(machine.rbeeHome, "data", "models", "some.gguf")
        const others = join(machine.rbeeHome, "data", "engines", "llama", "package.json")
        writeFileIn(model, "")
        writeFileIn(others, "{}")
        assert.isTrue((yield* uninstall()).changed)
        assert.isTrue(existsSync(model) && existsSync(others))
        const gone = [
          launcherOf(machine),
          programsOf(machine),
          tokenOf(machine),
          join(config, "tokens", "atlas")
        ]
        assert.deepStrictEqual(gone.filter(existsSync), [])
        assert.include(said.at(-1), `its models remain in ${machine.rbeeHome}/data/models`)

        assert.isFalse((yield* uninstall()).changed)
        assert.include(said.at(-1), "was not installed")
      })
    )
  )

  it.live("does not touch another queen's token", () =>
    scene(({ install, machine, uninstall }) =>
      Effect.gen(function* () {
        yield* install()
        writeFileSync(tokenOf(machine), "another-token-than-ours\n")
        yield* uninstall()
        assert.strictEqual(readFileSync(tokenOf(machine), "utf8"), "another-token-than-ours\n")
      })
    )
  )
})

describe("HiveTokens", () => {
  it.live("rejects an alias that leaves its folder", () =>
    Effect.gen(function* () {
      const tokens = yield* HiveTokens
      const error = yield* Effect.flip(tokens.find("../token"))
      assert.strictEqual(error._tag, "HiveTokenError")
      assert.isTrue(Option.isNone(yield* tokens.find("atlas")))
      yield* tokens.delete("atlas")
    }).pipe(
      Effect.provide(
        HiveTokens.layer.pipe(
          Layer.provide(Layer.unwrap(Effect.map(temporaryFolder, (folder) => Paths.layerAt(folder)))),
          Layer.provide(NodeServices.layer)
        )
      ),
      Effect.scoped
    )
  )
})
