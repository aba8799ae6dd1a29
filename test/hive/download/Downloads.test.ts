import { execFileSync } from "node:child_process"
import { existsSync, mkdirSync, readFileSync, readdirSync, renameSync, rmSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { NodeServices } from "@effect/platform-node"
import { assert, describe, it } from "@effect/vitest"
import { Deferred, Effect, Fiber, Layer, Schema } from "effect"
import { Downloads } from "../../../src/hive/download/Downloads.ts"
import { Fetcher } from "../../../src/hive/download/Fetcher.ts"
import { ModelSources } from "../../../src/hive/download/ModelSources.ts"
import { Transfer } from "../../../src/hive/download/Transfer.ts"
import { ModelManifest } from "../../../src/hive/models/ModelManifest.ts"
import { Settings } from "../../../src/settings/Settings.ts"
import { contentOf, generated } from "../../support/fileServer.ts"
import { modelHubs } from "../../support/modelHubs.ts"
import { temporaryFolder } from "../../support/rbee.ts"
import { mountTmpfs, remountReadOnly, smallDisk } from "../../support/tmpfs.ts"

const size = 600_000
const split = ["big-00001-of-00002.gguf", "big-00002-of-00002.gguf"] as const
const files = {
  [split[0]]: { content: generated(size) },
  [split[1]]: { content: generated(size / 2) }
}

const decodeManifest = Schema.decodeUnknownSync(Schema.fromJsonString(ModelManifest))

const silent = () => Effect.void

/** Downloads into a folder, from a hub with a model of two files and one of one. */
const setUp = Effect.fnUntraced(function* (folder: string) {
  const hubs = yield* modelHubs({
    repositories: {
      "acme/big": { files },
      "acme/small": { files: { "small.gguf": { content: generated(size) } } }
    }
  })
  const layer = Downloads.layerNoDeps(folder).pipe(
    Layer.provide([ModelSources.layerNoDeps, Transfer.layerNoDeps]),
    Layer.provide(Fetcher.layerNoDeps),
    Layer.provide(Settings.layerDefaults({ models: { ...hubs.settings, retries: 1 } })),
    Layer.provide(NodeServices.layer)
  )
  const downloads = yield* Effect.provide(Downloads, yield* Layer.build(layer))
  return { downloads, sent: hubs.cdn.sent, model: join(folder, "hf", "acme", "big") }
})

describe("Downloads", () => {
  it.live(
    "brings all files of a model, and says beside the first what was asked for, from where, and what came",
    () =>
      Effect.gen(function* () {
        const folder = yield* temporaryFolder
        const { downloads, model } = yield* setUp(folder)
        const first = yield* downloads.run("acme/big", silent, silent)
        assert.strictEqual(first, join(model, split[0]))
        assert.deepStrictEqual(readdirSync(model).toSorted(), [split[0], `${split[0]}.rbee.json`, split[1]])
        const manifest = decodeManifest(readFileSync(`${first}.rbee.json`, "utf8"))
        assert.deepStrictEqual(manifest.ids, ["hf:acme/big"])
        assert.include(manifest.from, "/acme/big at ")
        assert.isFalse(Number.isNaN(Date.parse(manifest.at)))
        assert.deepStrictEqual(
          manifest.files.map(({ name, size }) => [name, size]),
          [
            [split[0], size],
            [split[1], size / 2]
          ]
        )
        assert.match(manifest.files[1]?.sha256 ?? "", /^[0-9a-f]{64}$/)
      }).pipe(Effect.scoped)
  )

  it.live("does not fetch a model again that arrived during the lookup", () =>
    Effect.gen(function* () {
      const { downloads, sent } = yield* setUp(yield* temporaryFolder)
      const isAsked = yield* Deferred.make<void>()
      const hasCome = yield* Deferred.make<void>()
      const late = yield* Effect.forkChild(
        downloads.run(
          "acme/small",
          (action) =>
            action === "model_download"
              ? Effect.andThen(Deferred.succeed(isAsked, undefined), Deferred.await(hasCome))
              : Effect.void,
          silent
        )
      )
      yield* Deferred.await(isAsked)
      const path = yield* downloads.run("acme/small", silent, silent)
      yield* Deferred.succeed(hasCome, undefined)
      assert.strictEqual(yield* Fiber.join(late), path)
      assert.strictEqual(sent(), size)
    }).pipe(Effect.scoped)
  )

  it.live("resumes after it was killed while it moved the files", () =>
    Effect.gen(function* () {
      const folder = yield* temporaryFolder
      const { downloads, model, sent } = yield* setUp(folder)
      const first = yield* downloads.run("acme/big", silent, silent)
      const { files: came } = decodeManifest(readFileSync(`${first}.rbee.json`, "utf8"))
      rmSync(`${first}.rbee.json`)
      for (const file of came) {
        const incoming = join(folder, "incoming", "hf", "acme", "big", file.name)
        mkdirSync(incoming, { recursive: true })
        writeFileSync(join(incoming, "whole.json"), JSON.stringify(file))
      }
      renameSync(first, join(folder, "incoming", "hf", "acme", "big", split[0], "whole"))
      const before = sent()
      yield* downloads.run("acme/big", silent, silent)
      assert.strictEqual(sent(), before)
      assert.isTrue(readFileSync(first).equals(contentOf(size)))
      assert.isTrue(readFileSync(join(model, split[1])).equals(contentOf(size / 2)))
      assert.isFalse(existsSync(join(folder, "incoming")))
    }).pipe(Effect.scoped)
  )

  it.live("reports a missing local file, also when it existed before", () =>
    Effect.gen(function* () {
      const { downloads } = yield* setUp(yield* temporaryFolder)
      const file = join(yield* temporaryFolder, "mine.gguf")
      const run = downloads.run(`file:${file}`, silent, silent)
      const isMissing = Effect.map(Effect.flip(run), (error) => {
        assert.strictEqual(error._tag, "FileNotReadable")
        assert.include(error.message, "it does not exist; check the path (ENOENT)")
        assert.notInclude(error.message, "cannot be written")
      })
      yield* isMissing
      writeFileSync(file, "model")
      assert.strictEqual(yield* run, file)
      rmSync(file)
      yield* isMissing
    }).pipe(Effect.scoped)
  )

  it.live("reports a read-only disk, also when the folders do not exist yet", (test) =>
    Effect.gen(function* () {
      const disk = yield* smallDisk
      if (disk === undefined) return test.skip("this user may not mount a disk")
      const { downloads } = yield* setUp(join(disk, "models"))
      remountReadOnly(disk)
      const error = yield* Effect.flip(downloads.run("acme/small", silent, silent))
      assert.strictEqual(error._tag, "FileNotWritable")
      assert.include(error.message, "the file system is read-only")
    }).pipe(Effect.scoped)
  )

  it.live("checks the space for all files of a model before it fetches the first", () =>
    Effect.gen(function* () {
      const disk = yield* temporaryFolder
      // Only root may mount.
      if (!mountTmpfs(disk)) return
      yield* Effect.gen(function* () {
        const { downloads, sent } = yield* setUp(disk)
        writeFileSync(join(disk, "other"), Buffer.alloc(300_000))
        const error = yield* Effect.flip(downloads.run("acme/big", silent, silent))
        assert.strictEqual(error._tag, "DiskFull")
        assert.include(error.message, "needs 900.0 kB more")
        assert.strictEqual(sent(), 0)
        rmSync(join(disk, "other"))
        yield* downloads.run("acme/big", silent, silent)
      }).pipe(Effect.scoped, Effect.ensuring(Effect.sync(() => execFileSync("umount", [disk]))))
    }).pipe(Effect.scoped)
  )
})
