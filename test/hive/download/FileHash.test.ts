import { createHash } from "node:crypto"
import { appendFileSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { NodeServices } from "@effect/platform-node"
import { assert, describe, it } from "@effect/vitest"
import { Effect, FileSystem } from "effect"
import { FileHash } from "../../../src/hive/download/FileHash.ts"

const temporary = Effect.gen(function* () {
  const fs = yield* FileSystem.FileSystem
  return yield* fs.makeTempDirectoryScoped({ prefix: "rbee-hash-" })
}).pipe(Effect.provide(NodeServices.layer))

describe("FileHash", () => {
  it.live("hashes a growing file, up to the announced length", () =>
    Effect.gen(function* () {
      const file = join(yield* temporary, "data")
      const bytes = Buffer.from(Array.from({ length: 3_000_000 }, (_, index) => index % 251))
      writeFileSync(file, bytes.subarray(0, 1_200_000))
      const hash = yield* FileHash.open(file)
      hash.has(1_000_000)
      hash.has(500_000)
      appendFileSync(file, bytes.subarray(1_200_000))
      appendFileSync(file, "more, which belongs to nobody")
      hash.has(1_200_000)
      const digest = yield* hash.digest(bytes.length)
      assert.strictEqual(digest, createHash("sha256").update(bytes).digest("hex"))
    }).pipe(Effect.scoped)
  )

  it.live("fails with a typed error for an unreadable file", () =>
    Effect.gen(function* () {
      const file = join(yield* temporary, "nothing")
      const hash = yield* FileHash.open(file)
      hash.has(10)
      const error = yield* Effect.flip(hash.digest(10))
      assert.strictEqual(error._tag, "FileNotReadable")
      assert.include(error.message, file)
    }).pipe(Effect.scoped)
  )
})
