import { chmodSync, rmSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { NodeFileSystem } from "@effect/platform-node"
import { assert, describe, it } from "@effect/vitest"
import { Effect, FileSystem } from "effect"
import { TestClock } from "effect/testing"
import { fileStamp, watchFile } from "../../src/system/watchedFile.ts"
import { temporaryFolder } from "../support/rbee.ts"

/** Watches a file whose value is its text; a text that begins with "bad" is unreadable. */
const watched = Effect.fnUntraced(function* (maxAge: string | undefined) {
  const file = join(yield* temporaryFolder, "file")
  const seen = { reads: 0, broken: new Array<string>() }
  const read = FileSystem.FileSystem.use((fs) => fs.readFileString(file)).pipe(
    Effect.orElseSucceed(() => "absent"),
    Effect.flatMap((text) => {
      seen.reads++
      return text.startsWith("bad") ? Effect.fail(text) : Effect.succeed(text)
    })
  )
  const watch = yield* watchFile({
    file,
    initial: "initial",
    read,
    onBroken: (text) => Effect.sync(() => void seen.broken.push(text)),
    ...(maxAge === undefined ? {} : { maxAge: "1 second" })
  })
  return { file, seen, watch }
})

describe("watchFile", () => {
  it.effect("reads again only a changed file, and forgets a removed one", () =>
    Effect.gen(function* () {
      const { file, seen, watch } = yield* watched(undefined)
      assert.deepStrictEqual(yield* watch.known, { value: "initial", isBroken: false })
      assert.strictEqual((yield* watch.latest).value, "absent")
      writeFileSync(file, "one")
      assert.strictEqual((yield* watch.latest).value, "one")
      assert.strictEqual((yield* watch.latest).value, "one")
      assert.strictEqual(seen.reads, 2)
      rmSync(file)
      assert.strictEqual((yield* watch.latest).value, "absent")
      assert.strictEqual(seen.reads, 3)
    }).pipe(Effect.provide(NodeFileSystem.layer))
  )

  it.effect("keeps the last good value of a broken file, reports each change once, and retries", () =>
    Effect.gen(function* () {
      const { file, seen, watch } = yield* watched(undefined)
      writeFileSync(file, "good")
      yield* watch.latest
      writeFileSync(file, "bad 1")
      for (let i = 0; i < 3; i++) {
        assert.deepStrictEqual(yield* watch.latest, { value: "good", isBroken: true })
      }
      assert.deepStrictEqual(seen.broken, ["bad 1"])
      assert.strictEqual(seen.reads, 4)
      writeFileSync(file, "bad two")
      yield* watch.latest
      assert.deepStrictEqual(seen.broken, ["bad 1", "bad two"])
      writeFileSync(file, "better")
      assert.deepStrictEqual(yield* watch.latest, { value: "better", isBroken: false })
    }).pipe(Effect.provide(NodeFileSystem.layer))
  )

  it.effect("answers simultaneous requests by one check, and a later one by another", () =>
    Effect.gen(function* () {
      const { file, seen, watch } = yield* watched(undefined)
      writeFileSync(file, "bad")
      yield* Effect.all(
        Array.from({ length: 50 }, () => watch.latest),
        { concurrency: "unbounded" }
      )
      // A broken file is read in each check.
      assert.isAtMost(seen.reads, 2)
      const before = seen.reads
      yield* watch.latest
      assert.strictEqual(seen.reads, before + 1)
    }).pipe(Effect.provide(NodeFileSystem.layer))
  )

  it.effect("trusts a check for maxAge", () =>
    Effect.gen(function* () {
      const { file, watch } = yield* watched("1 second")
      assert.strictEqual((yield* watch.latest).value, "absent")
      writeFileSync(file, "one")
      yield* TestClock.adjust("999 millis")
      assert.strictEqual((yield* watch.latest).value, "absent")
      yield* TestClock.adjust("1 millis")
      assert.strictEqual((yield* watch.latest).value, "one")
    }).pipe(Effect.provide(NodeFileSystem.layer))
  )

  it.effect("takes the value that its process has written, and reads the file at the next check", () =>
    Effect.gen(function* () {
      const { file, seen, watch } = yield* watched(undefined)
      writeFileSync(file, "one")
      yield* watch.latest
      yield* watch.replace("written")
      assert.strictEqual((yield* watch.known).value, "written")
      assert.strictEqual((yield* watch.latest).value, "one")
      assert.strictEqual(seen.reads, 2)
    }).pipe(Effect.provide(NodeFileSystem.layer))
  )
})

describe("fileStamp", () => {
  it.effect("differs when a file is written, gets another mode, or is removed", () =>
    Effect.gen(function* () {
      const file = join(yield* temporaryFolder, "file")
      const stamps = [yield* fileStamp(file)]
      writeFileSync(file, "a")
      stamps.push(yield* fileStamp(file))
      writeFileSync(file, "ab")
      stamps.push(yield* fileStamp(file))
      chmodSync(file, 0o600)
      stamps.push(yield* fileStamp(file))
      assert.strictEqual(new Set(stamps).size, 4)
      assert.strictEqual(yield* fileStamp(file), stamps[3])
    }).pipe(Effect.provide(NodeFileSystem.layer))
  )
})
