import { mkdirSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { NodeFileSystem, NodeServices } from "@effect/platform-node"
import { assert, describe, it } from "@effect/vitest"
import { Context, Effect, FileSystem, Layer, Logger, Option, PlatformError, Redacted } from "effect"
import { TestClock } from "effect/testing"
import { generate, hashOf } from "../../src/access/ApiKey.ts"
import { ApiKeys } from "../../src/access/ApiKeys.ts"
import { Paths } from "../../src/settings/Paths.ts"
import { Pids } from "../../src/system/Pids.ts"
import { temporaryFolder } from "../support/rbee.ts"

/** An instance with a state of its own, like that of another process. */
const instance = (home: string, files: Layer.Layer<FileSystem.FileSystem> = NodeFileSystem.layer) =>
  Layer.fresh(ApiKeys.layerNoDeps).pipe(
    Layer.provide([Pids.layer, files]),
    Layer.provide([Paths.layerAt(home), NodeServices.layer]),
    Layer.build,
    Effect.map((context) => Context.get(context, ApiKeys))
  )

const oneFolder = Effect.gen(function* () {
  const home = yield* temporaryFolder
  mkdirSync(join(home, "config"))
  return { home, file: join(home, "config", "keys.json"), keys: yield* instance(home) }
})

const nameOf = (found: Option.Option<{ readonly name: string }>) =>
  Option.getOrUndefined(Option.map(found, ({ name }) => name))

const record = { id: "0a0a0a0a", name: "app", created_at: "2026-01-01T00:00:00.000Z", sha256: "a".repeat(64) }
const fileWith = (...keys: ReadonlyArray<object>) => JSON.stringify({ keys })

describe("API keys", () => {
  it.live("are created with limits, found, listed and revoked", () =>
    Effect.gen(function* () {
      const { home, keys } = yield* oneFolder
      assert.strictEqual(yield* keys.presence, "none")
      const limits = { concurrency: 2, tokensPerMinute: 900, models: ["tiny", "tiny", "big"], priority: -3 }
      const made = yield* keys.create({ name: "note.book-1_x", ...limits })
      const key = Redacted.value(made.key)
      assert.match(key, /^rbee-[A-Za-z0-9_-]{43}$/)
      assert.deepInclude(made.record, {
        id: hashOf(key).slice(0, 8),
        name: "note.book-1_x",
        concurrency: 2,
        tokens_per_minute: 900,
        models: ["tiny", "big"],
        priority: -3
      })
      const plain = yield* keys.create({ name: "plain" })
      assert.hasAllKeys(plain.record, ["id", "name", "created_at", "priority"])

      for (const reader of [keys, yield* instance(home)]) {
        assert.deepStrictEqual(yield* reader.find(key), Option.some(made.record))
        assert.isTrue(Option.isNone(yield* reader.find(`${key}x`)))
        assert.isTrue(Option.isNone(yield* reader.find(hashOf(key))))
        assert.deepStrictEqual(yield* reader.list, [made.record, plain.record])
        assert.strictEqual(yield* reader.presence, "some")
      }

      assert.deepStrictEqual(yield* keys.revoke(made.record.id), made.record)
      assert.isTrue(Option.isNone(yield* keys.find(key)))
      assert.deepStrictEqual(yield* keys.revoke("plain"), plain.record)
      assert.strictEqual(yield* keys.presence, "none")
    })
  )

  it.live("are stored in no file, and only the owner may read keys.json", () =>
    Effect.gen(function* () {
      const { file, home, keys } = yield* oneFolder
      // The temporary file of a process that died while writing, readable by all.
      writeFileSync(`${file}.new`, "rubbish", { mode: 0o644 })
      const { key } = yield* keys.create({ name: "app" })
      assert.deepStrictEqual(readdirSync(join(home, "config")), ["keys.json"])
      assert.strictEqual(statSync(file).mode & 0o777, 0o600)
      const text = readFileSync(file, "utf8")
      assert.include(text, hashOf(Redacted.value(key)))
      assert.notInclude(text, Redacted.value(key))
      assert.notInclude(text, Redacted.value(key).slice("rbee-".length))
      assert.notInclude(JSON.stringify(key) + String(key), Redacted.value(key))
    })
  )

  it.live("all survive when two processes create twenty at the same time", () =>
    Effect.gen(function* () {
      const { home, keys } = yield* oneFolder
      const other = yield* instance(home)
      const names = Array.from({ length: 20 }, (_, i) => `app-${i}`)
      const made = yield* Effect.forEach(names, (name, i) => (i % 2 === 0 ? keys : other).create({ name }), {
        concurrency: "unbounded"
      })
      assert.sameMembers(
        (yield* keys.list).map(({ name }) => name),
        names
      )
      const third = yield* instance(home)
      for (const { key, record } of made)
        assert.deepStrictEqual(yield* third.find(Redacted.value(key)), Option.some(record))
    })
  )

  it.live("have unique names, also when several requests create the same name at the same time", () =>
    Effect.gen(function* () {
      const { home, keys } = yield* oneFolder
      const other = yield* instance(home)
      const tries = yield* Effect.forEach(
        [keys, other, keys, other],
        ({ create }) => Effect.result(create({ name: "app" })),
        { concurrency: "unbounded" }
      )
      assert.strictEqual(tries.filter(({ _tag }) => _tag === "Success").length, 1)
      const [first] = yield* keys.list
      const idAsName = yield* Effect.flip(keys.create({ name: first?.id ?? "" }))
      assert.strictEqual(idAsName._tag, "ApiKeyExists")
      assert.include(idAsName.message, `API key '${first?.id}' already exists`)
    })
  )

  it.live("with an invalid name or limit are rejected, and nothing is written", () =>
    Effect.gen(function* () {
      const { file, keys } = yield* oneFolder
      const cases = [
        ["name", { name: "" }],
        ["name", { name: "a b" }],
        ["name", { name: "x".repeat(65) }],
        ["concurrency", { name: "a", concurrency: 0 }],
        ["concurrency", { name: "a", concurrency: 1.5 }],
        ["tokens_per_minute", { name: "a", tokensPerMinute: 0 }],
        ["models", { name: "a", models: ["tiny", ""] }],
        ["priority", { name: "a", priority: 11 }],
        ["priority", { name: "a", priority: -11 }]
      ] as const
      for (const [field, wanted] of cases) {
        assert.deepInclude(yield* Effect.flip(keys.create(wanted)), { _tag: "InvalidApiKey", field })
      }
      assert.throws(() => readFileSync(file))
    })
  )

  it.live("that do not exist are reported with the existing ones", () =>
    Effect.gen(function* () {
      const { keys } = yield* oneFolder
      assert.include((yield* Effect.flip(keys.revoke("app"))).message, "no keys exist")
      yield* keys.create({ name: "one" })
      yield* keys.create({ name: "two" })
      const error = yield* Effect.flip(keys.revoke("app"))
      assert.deepInclude(error, { _tag: "ApiKeyNotFound", asked: "app", known: ["one", "two"] })
    })
  )

  it.live("appear in no message, even when a key is passed as a name or written into the file", () =>
    Effect.gen(function* () {
      const { file, keys } = yield* oneFolder
      const { key } = yield* keys.create({ name: "app" })
      const secret = Redacted.value(key)
      const other = generate()
      const broken = [
        fileWith({ ...record, sha256: secret }),
        fileWith({ ...record, name: secret }),
        fileWith({ ...record, [secret]: 1 }),
        fileWith({ ...record, models: secret }),
        JSON.stringify({ [secret]: [] }),
        `{"keys":[${secret}`,
        secret
      ]
      const asNames = [
        yield* Effect.flip(keys.create({ name: secret })),
        yield* Effect.flip(keys.create({ name: other })),
        yield* Effect.flip(keys.revoke(secret)),
        yield* Effect.flip(keys.revoke(other.slice(0, -3)))
      ]
      const fromFile = yield* Effect.forEach(broken, (text) => {
        writeFileSync(file, text)
        return Effect.flip(keys.list)
      })
      for (const error of [...asNames, ...fromFile]) {
        const shown = `${error.message} ${JSON.stringify(error)} ${String(error)}`
        // Not even its beginning: the JSON parser shows a few characters.
        assert.notInclude(shown, secret.slice(0, 9), error._tag)
        assert.notInclude(shown, other.slice(0, 9), error._tag)
      }
      for (const error of fromFile) {
        assert.strictEqual(error._tag, "ApiKeysUnreadable")
        assert.include(error.message, file)
        assert.include(error.message, "fix the file")
      }
    })
  )
})

describe("the file with the keys", () => {
  it.effect("is checked for each request: changes of another process apply at once", () =>
    Effect.gen(function* () {
      const { home, keys } = yield* oneFolder
      const daemon = yield* instance(home)
      assert.strictEqual(yield* daemon.presence, "none")
      for (const name of ["app", "app", "other"]) {
        const { key } = yield* keys.create({ name })
        const find = Effect.map(daemon.find(Redacted.value(key)), nameOf)
        assert.strictEqual(yield* find, name)
        yield* keys.revoke(name)
        assert.isUndefined(yield* find)
        assert.strictEqual(yield* daemon.presence, "none")
      }
    })
  )

  it.effect("is checked once for simultaneous requests, and again for a later one", () =>
    Effect.gen(function* () {
      const { home, keys } = yield* oneFolder
      const { key } = yield* keys.create({ name: "app" })
      let stats = 0
      const files = Layer.effect(
        FileSystem.FileSystem,
        FileSystem.FileSystem.use((fs) =>
          Effect.succeed({
            ...fs,
            stat: (path: string) =>
              Effect.andThen(
                Effect.sync(() => stats++),
                fs.stat(path)
              )
          })
        )
      ).pipe(Layer.provide(NodeFileSystem.layer))
      const daemon = yield* instance(home, files)
      stats = 0
      const find = Effect.map(daemon.find(Redacted.value(key)), nameOf)
      const found = yield* Effect.all(
        Array.from({ length: 100 }, () => find),
        { concurrency: "unbounded" }
      )
      assert.deepStrictEqual(new Set(found), new Set(["app"]))
      assert.isAtMost(stats, 2)
      yield* keys.revoke("app")
      assert.isUndefined(yield* find)
    })
  )

  it.effect("that cannot be read leaves the last good keys valid, for every system error", () =>
    Effect.gen(function* () {
      for (const code of ["EMFILE", "ENFILE", "EACCES", "EIO"]) {
        const { home, keys } = yield* oneFolder
        const { key } = yield* keys.create({ name: "app" })
        const failed = PlatformError.systemError({
          _tag: "Unknown",
          module: "FileSystem",
          method: "readFile",
          cause: Object.assign(new Error(code), { code })
        })
        let fails = false
        const files = Layer.effect(
          FileSystem.FileSystem,
          FileSystem.FileSystem.use((fs) =>
            Effect.succeed({
              ...fs,
              readFileString: (path: string) =>
                Effect.suspend(() => (fails ? Effect.fail(failed) : fs.readFileString(path))),
              stat: (path: string) => Effect.suspend(() => (fails ? Effect.fail(failed) : fs.stat(path)))
            })
          )
        ).pipe(Layer.provide(NodeFileSystem.layer))
        const daemon = yield* instance(home, files)
        const find = Effect.map(daemon.find(Redacted.value(key)), nameOf)
        // The daemon read the keys at its start, before the first request.
        fails = true
        assert.strictEqual(yield* find, "app", code)
        const { key: later } = yield* keys.create({ name: "later" })
        assert.strictEqual(yield* find, "app", code)
        assert.strictEqual(yield* daemon.presence, "some")
        fails = false
        assert.strictEqual(nameOf(yield* daemon.find(Redacted.value(later))), "later")
      }
    })
  )

  it.effect(
    "that is damaged leaves the last good keys valid, is reported once, and does not count as empty",
    () =>
      Effect.gen(function* () {
        const { file, home, keys } = yield* oneFolder
        const daemon = yield* instance(home)
        const { key } = yield* keys.create({ name: "app" })
        const find = Effect.map(daemon.find(Redacted.value(key)), nameOf)
        const problems: Array<string> = []
        const logger = Logger.make(({ logLevel, message }) => {
          if (logLevel === "Warn") problems.push(JSON.stringify(message))
        })
        yield* Effect.gen(function* () {
          assert.strictEqual(yield* find, "app")
          const good = readFileSync(file, "utf8")
          const worse = [
            fileWith({ ...record, concurrency: 0 }),
            fileWith({ ...record, concurency: 1 }),
            fileWith(record, record),
            fileWith(record, { ...record, name: record.id, id: "b", sha256: "b".repeat(64) }),
            good.slice(0, -20),
            "[]",
            ""
          ]
          for (const [index, text] of worse.entries()) {
            writeFileSync(file, text)
            for (let second = 0; second < 3; second++) {
              yield* TestClock.adjust("1 second")
              assert.strictEqual(yield* find, "app", text)
            }
            assert.strictEqual(problems.length, index + 1, text)
            assert.include(problems[index], file)
            assert.strictEqual((yield* Effect.flip(keys.create({ name: "b" })))._tag, "ApiKeysUnreadable")
            assert.strictEqual(readFileSync(file, "utf8"), text)
          }
          assert.include(problems[0], "keys.0.concurrency")
          assert.include(problems[0], "an integer of at least 1")

          const startedWithIt = yield* instance(home)
          assert.strictEqual(yield* startedWithIt.presence, "unreadable")
          assert.isTrue(Option.isNone(yield* startedWithIt.find(Redacted.value(key))))

          writeFileSync(file, fileWith(record))
          yield* TestClock.adjust("1 second")
          assert.isUndefined(yield* find)
          rmSync(file)
          yield* TestClock.adjust("1 second")
          assert.strictEqual(yield* daemon.presence, "none")
        }).pipe(Effect.provide(Logger.layer([logger])))
      })
  )

  it.effect("that cannot be read counts as possibly containing keys, with the reason in the error", () =>
    Effect.gen(function* () {
      const { file, keys } = yield* oneFolder
      mkdirSync(file)
      const errors = [
        yield* Effect.flip(keys.list),
        yield* Effect.flip(keys.create({ name: "app" })),
        yield* Effect.flip(keys.revoke("app"))
      ]
      for (const error of errors) {
        assert.deepInclude(error, { _tag: "ApiKeysUnreadable", file })
        assert.include(error.message, "it is a folder, not a file")
      }
      assert.strictEqual(yield* keys.presence, "unreadable")
    })
  )

  it.effect("is read again after a failure, even though its stamp has not changed", () =>
    Effect.gen(function* () {
      const { home, keys } = yield* oneFolder
      const { key } = yield* keys.create({ name: "app" })
      const denied = PlatformError.systemError({
        _tag: "PermissionDenied",
        module: "FileSystem",
        method: "readFile"
      })
      let isDenied = true
      const files = Layer.effect(
        FileSystem.FileSystem,
        FileSystem.FileSystem.use((fs) =>
          Effect.succeed({
            ...fs,
            readFileString: (path: string) =>
              Effect.suspend(() => (isDenied ? Effect.fail(denied) : fs.readFileString(path)))
          })
        )
      ).pipe(Layer.provide(NodeFileSystem.layer))
      const daemon = yield* instance(home, files)
      assert.isTrue(Option.isNone(yield* daemon.find(Redacted.value(key))))
      assert.strictEqual(yield* daemon.presence, "unreadable")
      isDenied = false
      yield* TestClock.adjust("1 second")
      assert.strictEqual(nameOf(yield* daemon.find(Redacted.value(key))), "app")
    })
  )

  it.live("may be edited manually: a changed limit, an absent priority", () =>
    Effect.gen(function* () {
      const { file, keys } = yield* oneFolder
      writeFileSync(file, fileWith({ ...record, sha256: hashOf("rbee-mine"), tokens_per_minute: 7 }))
      const { sha256: _, ...known } = record
      assert.deepStrictEqual(
        yield* keys.find("rbee-mine"),
        Option.some({ ...known, tokens_per_minute: 7, priority: 0 })
      )
    })
  )
})

describe("keys in memory", () => {
  it.effect("are found, created and revoked like stored ones", () =>
    Effect.gen(function* () {
      const keys = yield* ApiKeys
      assert.strictEqual(nameOf(yield* keys.find("rbee-a")), "a")
      const made = yield* keys.create({ name: "b" })
      assert.strictEqual((yield* Effect.flip(keys.create({ name: "b" })))._tag, "ApiKeyExists")
      assert.strictEqual(nameOf(yield* keys.find(Redacted.value(made.key))), "b")
      yield* keys.revoke("a")
      assert.deepStrictEqual(yield* keys.list, [made.record])
      assert.isTrue(Option.isNone(yield* keys.find("rbee-a")))
    }).pipe(Effect.provide(ApiKeys.layerMemory([{ key: "rbee-a", name: "a", concurrency: 1 }])))
  )
})
