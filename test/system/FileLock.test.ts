import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { setImmediate } from "node:timers/promises"
import { NodeServices } from "@effect/platform-node"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Layer, Option } from "effect"
import { acquire, withLock } from "../../src/system/FileLock.ts"
import { Pids } from "../../src/system/Pids.ts"
import { temporaryFolder } from "../support/rbee.ts"

const services = Layer.provideMerge(Pids.layer, NodeServices.layer)
const dead = '{"pid":999999999,"startTime":"1"}'

const inFolder = <A, E, R>(test: (lock: string, folder: string) => Effect.Effect<A, E, R>) =>
  Effect.flatMap(temporaryFolder, (folder) => test(join(folder, "lock"), folder)).pipe(
    Effect.scoped,
    Effect.provide(services)
  )

describe("FileLock", () => {
  it.live("is one's at a time, and is gone with its scope", () =>
    inFolder((lock, folder) =>
      Effect.gen(function* () {
        const error = yield* Effect.scoped(
          Effect.gen(function* () {
            yield* acquire(lock)
            return yield* Effect.flip(Effect.scoped(acquire(lock)))
          })
        )
        assert.deepInclude(error, { _tag: "LockHeld", pid: process.pid })
        assert.deepStrictEqual(readdirSync(folder), [])
      })
    )
  )

  it.live("is taken over from the dead, from who died while taking it over, and from an empty file", () =>
    inFolder((lock, folder) =>
      Effect.gen(function* () {
        const left: ReadonlyArray<Readonly<Record<string, string>>> = [
          { lock: dead },
          { lock: "rubbish" },
          { lock: "" },
          { lock: dead, "lock.stale": dead },
          { lock: "", "lock.stale": "" }
        ]
        for (const files of left) {
          for (const [name, text] of Object.entries(files)) writeFileSync(join(folder, name), text)
          const took = yield* Effect.timeoutOption(withLock(lock)(Effect.succeed("took")), "5 seconds")
          assert.deepStrictEqual(took, Option.some("took"), JSON.stringify(files))
          assert.deepStrictEqual(readdirSync(folder), [])
        }
      })
    )
  )

  it.live("is not tried without end when it cannot be read", () =>
    inFolder((lock) =>
      Effect.gen(function* () {
        mkdirSync(lock)
        const error = yield* Effect.timeout(Effect.flip(withLock(lock)(Effect.void)), "5 seconds")
        assert.strictEqual(error._tag, "PlatformError")
      })
    )
  )

  it.live("is waited for, and a wait can be given up", () =>
    inFolder((lock) =>
      Effect.gen(function* () {
        const startTime = Option.getOrThrow(yield* Pids.use((pids) => pids.startTime(process.pid)))
        writeFileSync(lock, JSON.stringify({ pid: process.pid, startTime }))
        const took = yield* Effect.timeoutOption(withLock(lock)(Effect.void), "200 millis")
        assert.isTrue(Option.isNone(took))
        assert.include(readFileSync(lock, "utf8"), startTime)
      })
    )
  )

  it.live("is one's at a time also when many find it stale at once", () =>
    inFolder((lock) =>
      Effect.gen(function* () {
        for (let round = 0; round < 8; round++) {
          writeFileSync(lock, dead)
          let inside = 0
          const work = Effect.gen(function* () {
            inside++
            yield* Effect.promise(() => setImmediate())
            assert.strictEqual(inside, 1)
            inside--
          })
          yield* Effect.forEach(Array.from({ length: 8 }), () => withLock(lock)(work), {
            concurrency: "unbounded"
          })
        }
        assert.isFalse(existsSync(lock))
      })
    )
  )
})
