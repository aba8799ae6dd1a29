import { mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { NodeFileSystem } from "@effect/platform-node"
import { assert, describe, it } from "@effect/vitest"
import { Deferred, Effect, Fiber, FileSystem, Layer } from "effect"
import { atomicWrite } from "../../src/system/atomicWrite.ts"
import { temporaryFolder } from "../support/rbee.ts"

/** A file system whose `rename` first runs the given effect. */
const beforeRename = (effect: Effect.Effect<void>) =>
  Layer.effect(
    FileSystem.FileSystem,
    FileSystem.FileSystem.use((fs) =>
      Effect.succeed({
        ...fs,
        rename: (from: string, to: string) => Effect.andThen(effect, fs.rename(from, to))
      })
    )
  ).pipe(Layer.provide(NodeFileSystem.layer))

describe("atomicWrite", () => {
  it.effect("replaces a file with the given mode, and ignores an abandoned temporary file", () =>
    Effect.gen(function* () {
      const folder = yield* temporaryFolder
      const file = join(folder, "a.json")
      writeFileSync(file, "old", { mode: 0o644 })
      writeFileSync(`${file}.new`, "abandoned", { mode: 0o666 })
      yield* atomicWrite(file, "new", { mode: 0o600, sync: true })
      assert.strictEqual(readFileSync(file, "utf8"), "new")
      assert.strictEqual(statSync(file).mode & 0o777, 0o600)
      assert.deepStrictEqual(readdirSync(folder), ["a.json"])
    }).pipe(Effect.provide(NodeFileSystem.layer))
  )

  it.effect("keeps the old file until the new one is complete, and cleans up when it is interrupted", () =>
    Effect.gen(function* () {
      const folder = yield* temporaryFolder
      const file = join(folder, "a.json")
      writeFileSync(file, "old")
      const reached = yield* Deferred.make<void>()
      const writing = yield* atomicWrite(file, "new", { temporary: join(folder, ".a") }).pipe(
        Effect.provide(beforeRename(Effect.andThen(Deferred.succeed(reached, undefined), Effect.never))),
        Effect.forkChild
      )
      yield* Deferred.await(reached)
      assert.strictEqual(readFileSync(file, "utf8"), "old")
      assert.strictEqual(readFileSync(join(folder, ".a"), "utf8"), "new")
      yield* Fiber.interrupt(writing)
      assert.deepStrictEqual(readdirSync(folder), ["a.json"])
      assert.strictEqual(readFileSync(file, "utf8"), "old")
    })
  )

  it.effect("fails with the error of the system, and leaves no temporary file", () =>
    Effect.gen(function* () {
      const folder = yield* temporaryFolder
      mkdirSync(join(folder, "a.json"))
      const error = yield* Effect.flip(atomicWrite(join(folder, "a.json"), "new"))
      assert.strictEqual(error._tag, "PlatformError")
      assert.deepStrictEqual(readdirSync(folder), ["a.json"])
      const missing = yield* Effect.flip(atomicWrite(join(folder, "absent", "a.json"), "new"))
      assert.strictEqual(missing.reason._tag, "NotFound")
    }).pipe(Effect.provide(NodeFileSystem.layer))
  )
})
