import * as fs from "node:fs/promises"
import * as path from "node:path"
import { NodeServices } from "@effect/platform-node"
import { assert, describe, it } from "@effect/vitest"
import { Effect, FileSystem } from "effect"
import { vi } from "vitest"
import { PartFile } from "../../../src/hive/download/PartFile.ts"

const megabyte = new Uint8Array(1024 * 1024)
const plan = {
  url: "http://bench/file",
  size: 200 * megabyte.length,
  etag: '"1"',
  sha256: null,
  partSize: 1e9
}

/** What all open files have in common. */
const fileHandle = (folder: string) =>
  Effect.promise(async () => {
    const file = await fs.open(path.join(folder, "any"), "w")
    await file.close()
    return Object.getPrototypeOf(file)
  })

describe("a file that comes in parts", () => {
  it.effect("closes after its data is flushed, and resumes from there", () =>
    Effect.gen(function* () {
      const folder = yield* FileSystem.FileSystem.use((files) => files.makeTempDirectoryScoped())
      const first = Promise.withResolvers<void>()
      let isOpen = false
      const datasync = vi
        .spyOn(yield* fileHandle(folder), "datasync")
        .mockImplementationOnce(() => first.promise)
        .mockImplementationOnce(async function (this: fs.FileHandle) {
          isOpen = this.fd >= 0
        })
      yield* Effect.addFinalizer(() => Effect.sync(() => datasync.mockRestore()))
      const open = PartFile.open(path.join(folder, "incoming"), plan)
      yield* Effect.scoped(
        Effect.gen(function* () {
          const file = yield* open
          for (let i = 0; i < 65; i++) yield* file.append(0, [megabyte, megabyte])
          // When the file is being closed.
          setImmediate(first.resolve)
        })
      )
      assert.strictEqual(datasync.mock.calls.length, 2)
      assert.isTrue(isOpen)
      assert.strictEqual((yield* open).received, 130 * megabyte.length)
    }).pipe(Effect.provide(NodeServices.layer))
  )

  it.effect("reports a failed flush during a download, at once and at the end", () =>
    Effect.gen(function* () {
      const folder = yield* FileSystem.FileSystem.use((files) => files.makeTempDirectoryScoped())
      const broken = Object.assign(new Error("input/output error"), { code: "EIO" })
      const datasync = vi.spyOn(yield* fileHandle(folder), "datasync").mockRejectedValueOnce(broken)
      yield* Effect.addFinalizer(() => Effect.sync(() => datasync.mockRestore()))
      const incoming = path.join(folder, "incoming")
      const file = yield* PartFile.open(incoming, plan)
      for (let i = 0; i < 64; i++) yield* file.append(0, [megabyte])
      assert.strictEqual(datasync.mock.calls.length, 1)
      for (const effect of [file.sync, file.append(0, [megabyte])]) {
        const error = yield* Effect.flip(effect)
        assert.strictEqual(error._tag, "FileNotWritable")
        assert.include(error.message, "EIO")
      }
      assert.strictEqual(file.received, 64 * megabyte.length)
      assert.strictEqual((yield* PartFile.open(incoming, plan)).received, 0)
    }).pipe(Effect.provide(NodeServices.layer))
  )
})
