import * as path from "node:path"
import { NodeServices } from "@effect/platform-node"
import { assert, describe, it } from "@effect/vitest"
import { Effect, FileSystem, Layer } from "effect"
import type { StoredWorker } from "../../../src/hive/workers/WorkerRecord.ts"
import { WorkerStore } from "../../../src/hive/workers/WorkerStore.ts"
import { Paths } from "../../../src/settings/Paths.ts"
import { Settings } from "../../../src/settings/Settings.ts"
import { Pids } from "../../../src/system/Pids.ts"
import { temporaryHome } from "../../support/hive.ts"
import { workerSpec } from "../../support/hiveFakes.ts"

const worker = (id: string): StoredWorker => ({
  spec: workerSpec(id),
  process: { pid: 1, startTime: "2", port: 3 }
})

const storeAt = (home: string, id = "test") =>
  WorkerStore.layerNoDeps.pipe(
    Layer.provide(Pids.layer),
    Layer.provide([Settings.layerDefaults({ hive: { id } }), Paths.layerAt(home)]),
    Layer.provide(NodeServices.layer)
  )

const folderOf = (home: string) => path.join(home, "state", "hives", "test", "workers")

describe("WorkerStore", () => {
  it.live("keeps records readable for the owner only, and removes other files", () =>
    Effect.gen(function* () {
      const home = yield* temporaryHome
      const fs = yield* FileSystem.FileSystem
      const folder = folderOf(home)
      yield* Effect.gen(function* () {
        const store = yield* WorkerStore
        yield* store.save(worker("a"))
        yield* store.save(worker("b"))
        yield* store.remove("b")
        yield* store.remove("b")
        assert.strictEqual((yield* fs.stat(path.join(folder, "a.json"))).mode & 0o777, 0o600)
      }).pipe(Effect.provide(storeAt(home)))
      yield* fs.writeFileString(path.join(folder, "cut.json"), '{"spec":{"id":"c')
      yield* fs.writeFileString(path.join(folder, "other.json"), JSON.stringify(worker("a")))
      yield* fs.writeFileString(path.join(folder, "a.log"), "kept")
      yield* fs.writeFileString(path.join(folder, "gone.log"), "old")
      yield* Effect.gen(function* () {
        const store = yield* WorkerStore
        assert.deepStrictEqual(yield* store.list, [worker("a")])
        assert.deepStrictEqual((yield* fs.readDirectory(folder)).toSorted(), ["a.json", "a.log"])
      }).pipe(Effect.provide(storeAt(home)))
    }).pipe(Effect.provide(NodeServices.layer))
  )

  it.live("belongs to one hive at a time; a stale lock is taken over", () =>
    Effect.gen(function* () {
      const home = yield* temporaryHome
      const fs = yield* FileSystem.FileSystem
      const lock = path.join(home, "state", "hives", "test", "lock")
      yield* Effect.gen(function* () {
        const error = yield* Effect.flip(Effect.scoped(Layer.build(Layer.fresh(storeAt(home)))))
        assert.strictEqual(error._tag, "HiveAlreadyRuns")
        assert.include(error.message, `Hive 'test' is already running (pid ${process.pid})`)
        yield* Effect.scoped(Layer.build(storeAt(home, "another")))
      }).pipe(Effect.provide(storeAt(home)))
      assert.isFalse(yield* fs.exists(lock))
      for (const stale of ['{"pid":999999999,"startTime":"1"}', "rubbish"]) {
        yield* fs.writeFileString(lock, stale)
        yield* Effect.scoped(Layer.build(storeAt(home)))
      }
    }).pipe(Effect.provide(NodeServices.layer))
  )

  it.live("fails when its folder is not writable", () =>
    Effect.gen(function* () {
      const home = yield* temporaryHome
      const fs = yield* FileSystem.FileSystem
      yield* fs.writeFileString(path.join(home, "state"), "a file where a folder should be")
      const error = yield* Effect.flip(Effect.scoped(Layer.build(storeAt(home))))
      assert.strictEqual(error._tag, "StateNotWritable")
      assert.include(error.message, "a part of the path is not a folder")
    }).pipe(Effect.provide(NodeServices.layer))
  )
})
