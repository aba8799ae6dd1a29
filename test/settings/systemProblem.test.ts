import { chmodSync, mkdirSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { NodeServices } from "@effect/platform-node"
import { assert, describe, it } from "@effect/vitest"
import { Context, Effect, FileSystem, Layer, PlatformError, Redacted } from "effect"
import { ApiKeys } from "../../src/access/ApiKeys.ts"
import { WorkerStore } from "../../src/hive/workers/WorkerStore.ts"
import { CapabilitiesCache } from "../../src/hives/CapabilitiesCache.ts"
import { HivesConf } from "../../src/hives/HivesConf.ts"
import { HiveTokens } from "../../src/hives/HiveTokens.ts"
import { Paths } from "../../src/settings/Paths.ts"
import { Settings } from "../../src/settings/Settings.ts"
import { systemProblem, systemSentence } from "../../src/settings/systemProblem.ts"
import { DetachedProcess } from "../../src/system/DetachedProcess.ts"
import { PidFile } from "../../src/system/PidFile.ts"
import { Pids } from "../../src/system/Pids.ts"
import { temporaryFolder } from "../support/rbee.ts"
import { fillDisk, remountReadOnly, smallDisk } from "../support/tmpfs.ts"

const withCode = (code: string) => Object.assign(new Error(`${code}: raw words of the system`), { code })

const platformError = (code: string) =>
  PlatformError.systemError({
    _tag: "Unknown",
    module: "FileSystem",
    method: "writeFile",
    pathOrDescriptor: "/data/x",
    cause: withCode(code)
  })

const words = {
  ENOSPC: ["disk is full", "free some space"],
  EDQUOT: ["quota", "free some space"],
  EROFS: ["read-only", "mount it writable"],
  EACCES: ["permission denied", "check the owner"],
  EMFILE: ["too many open files", "ulimit -n"],
  ENFILE: ["too many open files", "fs.file-max"],
  EIO: ["input/output error", "check the disk"],
  ENAMETOOLONG: ["name is too long", "shorter"],
  ENOENT: ["does not exist", "check the path"]
}

describe("a system error", () => {
  it("says what happened and what to do, with its code, from wherever it comes", () => {
    for (const [code, parts] of Object.entries(words)) {
      const nested = new Error("outer", { cause: withCode(code) })
      for (const error of [withCode(code), nested, platformError(code)]) {
        const problem = systemProblem(error)
        for (const part of parts) assert.include(problem, part, code)
        assert.include(problem, `(${code})`)
        assert.notInclude(problem, "Unknown")
        assert.notInclude(problem, "raw words")
      }
      assert.match(systemSentence(platformError(code)), /^\/data\/x cannot be written: /)
    }
  })

  it("that has no words yet keeps its code, and one without a code its own message", () => {
    assert.include(systemProblem(withCode("EWEIRD")), "EWEIRD")
    assert.strictEqual(systemProblem(new Error("odd")), "odd")
    const denied = PlatformError.systemError({
      _tag: "PermissionDenied",
      module: "FileSystem",
      method: "open"
    })
    assert.include(systemProblem(denied), "permission denied")
  })
})

const services = (home: string) =>
  Layer.mergeAll(
    ApiKeys.layerNoDeps,
    CapabilitiesCache.layer,
    HivesConf.layer,
    HiveTokens.layer,
    PidFile.layer
  ).pipe(
    Layer.provideMerge([Pids.layer, Settings.layerDefaults(), NodeServices.layer]),
    Layer.provide(Paths.layerAt(home)),
    Layer.provideMerge(NodeServices.layer),
    Layer.fresh,
    Layer.build
  )

/** The sentence of each write to the configuration or state folder of a home. */
const writes = Effect.fnUntraced(function* (home: string) {
  const context = yield* services(home)
  const message = <A, E extends { readonly message: string }, R>(effect: Effect.Effect<A, E, R>) =>
    Effect.map(Effect.flip(effect), (error) =>
      error instanceof PlatformError.PlatformError ? systemSentence(error) : error.message
    )
  const tokens = Context.get(context, HiveTokens)
  const store = Layer.build(
    WorkerStore.layerNoDeps.pipe(
      Layer.provide([Pids.layer, Settings.layerDefaults(), Paths.layerAt(home)]),
      Layer.provide(NodeServices.layer)
    )
  )
  return {
    key: yield* message(Context.get(context, ApiKeys).create({ name: "app" })),
    cache: yield* message(Context.get(context, CapabilitiesCache).put("atlas", [])),
    hives: yield* message(Context.get(context, HivesConf).update(() => "Host a\n  HostName a\n  User u\n")),
    token: yield* message(tokens.save("atlas", Redacted.make("0123456789abcdef".repeat(64)))),
    run: yield* message(Effect.scoped(Context.get(context, PidFile).write("queen", "http://127.0.0.1:1"))),
    worker: yield* message(Effect.scoped(store))
  }
})

describe("a disk", () => {
  it.live("that is full is named by each file of rbee that cannot be written", (test) =>
    Effect.gen(function* () {
      const home = yield* smallDisk
      if (home === undefined) return test.skip("this user may not mount a disk")
      for (const folder of ["config", "config/tokens", "state", "state/run", "state/hives"])
        mkdirSync(join(home, folder))
      mkdirSync(join(home, "state/hives/localhost"))
      mkdirSync(join(home, "state/hives/localhost/workers"))
      fillDisk(home)
      for (const [what, message] of Object.entries(yield* writes(home))) {
        assert.include(message, "the disk is full; free some space on it (ENOSPC)", what)
        assert.include(message, home, what)
      }
    })
  )

  it.live("that is read-only is named too", (test) =>
    Effect.gen(function* () {
      const home = yield* smallDisk
      if (home === undefined) return test.skip("this user may not mount a disk")
      mkdirSync(join(home, "config"))
      remountReadOnly(home)
      for (const [what, message] of Object.entries(yield* writes(home))) {
        assert.include(message, "the file system is read-only", what)
        assert.include(message, "(EROFS)", what)
      }
    })
  )
})

describe("a process", () => {
  const start = (command: string, logFile: string) =>
    DetachedProcess.use(({ start }) => Effect.flip(start({ command, args: [], logFile }))).pipe(
      Effect.provide(DetachedProcess.layer),
      Effect.map(({ message }) => message)
    )

  it.live("that cannot start says whether its program or its log is the reason", () =>
    Effect.gen(function* () {
      const folder = yield* temporaryFolder
      const program = join(folder, "program")
      writeFileSync(program, "no program")
      chmodSync(program, 0o600)
      const log = join(folder, "log")
      assert.include(yield* start(join(folder, "absent"), log), "does not exist; check the path (ENOENT)")
      assert.include(yield* start(program, log), "permission denied")
      const under = join(program, "log")
      const noFolder = yield* start("true", under)
      assert.include(noFolder, `its log ${under} cannot be written: a part of the path is not a folder`)
      const long = yield* start("true", join(folder, "x".repeat(300)))
      assert.include(long, "ENAMETOOLONG")
    })
  )
})

describe("settings", () => {
  it.live("that are nested too deeply are one sentence, and no stack", () =>
    Effect.gen(function* () {
      const home = yield* temporaryFolder
      mkdirSync(join(home, "config"))
      const file = join(home, "config", "config.toml")
      for (const text of [
        `x = ${"[".repeat(100_000)}${"]".repeat(100_000)}`,
        `x = ${"[".repeat(300)}${"]".repeat(300)}`,
        `${"a.".repeat(5000)}b = 1`,
        `[${"a.".repeat(5000)}b]`
      ]) {
        writeFileSync(file, text)
        const error = yield* Effect.flip(
          Layer.build(Settings.layer.pipe(Layer.provide(Paths.layerAt(home)), Layer.fresh))
        )
        assert.strictEqual(error.message, `${file} is nested deeper than 200 tables and lists`)
      }
    }).pipe(Effect.provide(NodeServices.layer))
  )

  it.live("whose file cannot be read say so in one sentence", () =>
    Effect.gen(function* () {
      const home = yield* temporaryFolder
      const fs = yield* FileSystem.FileSystem
      yield* fs.makeDirectory(join(home, "config", "config.toml"), { recursive: true })
      const error = yield* Effect.flip(
        Layer.build(Settings.layer.pipe(Layer.provide(Paths.layerAt(home)), Layer.fresh))
      )
      assert.include(error.message, `${join(home, "config", "config.toml")} cannot be read: it is a folder`)
    }).pipe(Effect.provide(NodeServices.layer))
  )
})
