import { spawn } from "node:child_process"
import {
  existsSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  statSync,
  symlinkSync,
  writeFileSync
} from "node:fs"
import { join } from "node:path"
import { NodeServices } from "@effect/platform-node"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Layer, Result, Schema, Schedule } from "effect"
import { HivesConf } from "../../src/hives/HivesConf.ts"
import { put, remove } from "../../src/hives/HivesConfEdit.ts"
import { type HiveEntry, parseHivesConf } from "../../src/hives/HivesConfFormat.ts"
import { Paths } from "../../src/settings/Paths.ts"
import { Pids } from "../../src/system/Pids.ts"
import { temporaryFolder } from "../support/rbee.ts"

const atlas: HiveEntry = { aliases: ["atlas"], hostName: "192.0.2.1", port: 22, user: "ann", hivePort: 8081 }

const written = `# my machines
Host *
  ForwardAgent no

# the big one
HOST atlas  big   # as it stands
	hostname = 192.0.2.1
  User   ann
  Colour blue
  HivePort 8081

# the small one
Host boreas
  HostName 192.0.2.2
  User bob
  HivePort 9000
`.replace("   # as it stands", "")

const entriesOf = (text: string) => Result.getOrThrow(parseHivesConf(text, "hives.conf"))

describe("editing hives.conf", () => {
  it("changes the values that are others, and no other byte", () => {
    const entry = { ...atlas, aliases: ["atlas", "big"], hostName: "192.0.2.9", hivePort: 8090 }
    assert.strictEqual(
      put(written, entry),
      written
        .replace("hostname = 192.0.2.1", "hostname = 192.0.2.9")
        .replace("HivePort 8081", "HivePort 8090")
    )
    assert.strictEqual(put(written, { ...atlas, aliases: ["atlas", "big"] }), written)
  })

  it("finds a hive by any of its aliases, and gives the block those that it has now", () => {
    assert.strictEqual(
      put(written, { ...atlas, aliases: ["huge", "big"] }),
      written.replace("HOST atlas  big", "HOST huge big")
    )
  })

  it("changes the property that counts, the last one of its name", () => {
    const text = "Host atlas\n  HostName 192.0.2.1\n  User ann\n  HivePort 1\n  HivePort 2\n"
    assert.strictEqual(put(text, { ...atlas, hivePort: 9 }), text.replace("HivePort 2", "HivePort 9"))
    const withPath = `${text}  BinaryPath /a\n  BinaryPath /b\n`
    assert.strictEqual(put(withPath, { ...atlas, hivePort: 2 }), text)
    assert.strictEqual(put(text.replace("User ann", "User"), { ...atlas, hivePort: 2 }), text)
  })

  it("passes over Host * also where it has other names", () => {
    const text = "Host * atlas\n  User nobody\n"
    assert.deepStrictEqual(entriesOf(put(text, atlas)), [atlas])
    assert.isTrue(put(text, atlas).startsWith(text))
    assert.strictEqual(remove(text, "atlas"), text)
  })

  it("indents what it adds as the other properties, not as a comment", () => {
    const text = "Host atlas\n# here\n\tHostName 192.0.2.1\n\tUser ann\n\tHivePort 8081"
    assert.strictEqual(put(text, { ...atlas, port: 2222 }), `${text}\n\tPort 2222\n`)
  })

  it("adds what is new at the end of the block, and a new hive at the end of the file", () => {
    const entry = {
      ...atlas,
      aliases: ["boreas"],
      hostName: "192.0.2.2",
      user: "bob",
      hivePort: 9000,
      port: 2222
    }
    assert.strictEqual(put(written, entry), `${written}  Port 2222\n`)
    const other = { ...atlas, aliases: ["castor"], binaryPath: "~/rbee" }
    const block = "Host castor\n  HostName 192.0.2.1\n  User ann\n  HivePort 8081\n  BinaryPath ~/rbee\n"
    assert.strictEqual(put(written, other), `${written}\n${block}`)
    assert.strictEqual(put("", other), block)
    assert.strictEqual(put("# only a comment", other), `# only a comment\n\n${block}`)
  })

  it("takes one alias of several out, and the block with the last", () => {
    assert.strictEqual(remove(written, "big"), written.replace("HOST atlas  big", "HOST atlas"))
    const without = remove(written, "boreas")
    assert.include(without, "# the small one")
    assert.notInclude(without, "boreas")
    assert.deepStrictEqual(
      entriesOf(without).map(({ aliases }) => aliases),
      [["atlas", "big"]]
    )
    assert.strictEqual(remove(written, "nobody"), written)
  })

  it("keeps CRLF, and each line's own ending where they differ", () => {
    const text = written.replaceAll("\n", "\r\n")
    assert.notMatch(put(text, { ...atlas, aliases: ["new"] }), /[^\r]\n/)
    const mixed = `# one\r\n# two\r${written}`
    const entry = { ...atlas, aliases: ["atlas", "big"], user: "eve" }
    assert.strictEqual(put(mixed, entry), mixed.replace("User   ann", "User   eve"))
    assert.isTrue(remove(mixed, "boreas").startsWith(`# one\r\n# two\r${written.slice(0, 20)}`))
  })

  const word = Schema.String.check(Schema.isPattern(/^[a-z][a-z0-9-]{0,8}$/))
  const port = Schema.Int.check(Schema.isBetween({ minimum: 1, maximum: 65_535 }))
  const Entry = Schema.Struct({ alias: word, hostName: word, user: word, port, hivePort: port })

  it.prop("what was put is read again, whatever was there", [Schema.Array(Entry)], ([entries]) => {
    let text = written
    const expected = new Map(entriesOf(written).map((entry) => [entry.aliases[0], entry]))
    for (const { alias, ...rest } of entries) {
      const entry: HiveEntry = { aliases: [alias], ...rest }
      text = put(text, entry)
      expected.set(alias, entry)
    }
    assert.deepStrictEqual(entriesOf(text), [...expected.values()])
    for (const line of written.split("\n").filter((line) => line.startsWith("#"))) assert.include(text, line)
    for (const { alias } of entries) text = remove(text, alias)
    assert.strictEqual(entriesOf(text).length, 2)
  })
})

const inFolder = (home: string) =>
  HivesConf.layer.pipe(Layer.provide(Pids.layer), Layer.provide([Paths.layerAt(home), NodeServices.layer]))

const writer = (home: string, prefix: string, count: number) =>
  Effect.callback<number | null>((resume) => {
    const script = new URL("../support/writeHives.ts", import.meta.url).pathname
    const child = spawn(process.execPath, [script, home, prefix, String(count)], {
      stdio: ["ignore", "inherit", "inherit"]
    })
    child.on("close", (code) => resume(Effect.succeed(code)))
    return Effect.sync(() => child.kill("SIGKILL"))
  })

describe("saving hives.conf", () => {
  it.live("keeps all of what several processes write at once", () =>
    Effect.gen(function* () {
      const home = yield* temporaryFolder
      const config = join(home, "config")
      const file = join(config, "hives.conf")
      let seen = 0
      const reader = Effect.gen(function* () {
        const hives = entriesOf(existsSync(file) ? readFileSync(file, "utf8") : "")
        assert.isAtLeast(hives.length, seen)
        seen = hives.length
      }).pipe(Effect.repeat(Schedule.spaced("1 millis")))
      const writing = Effect.forEach(["a", "b", "c", "d"], (prefix) => writer(home, prefix, 15), {
        concurrency: "unbounded"
      })
      assert.deepStrictEqual(yield* Effect.raceFirst(writing, reader), [0, 0, 0, 0])
      assert.strictEqual(entriesOf(readFileSync(file, "utf8")).length, 60)
      assert.isAbove(seen, 0)
      assert.deepStrictEqual(readdirSync(config), ["hives.conf"])
    }).pipe(Effect.scoped)
  )

  it.live("is for the owner's eyes, keeps a mark of UTF-8, and the link that the file may be", () =>
    Effect.gen(function* () {
      const home = yield* temporaryFolder
      const file = join(home, "config", "hives.conf")
      mkdirSync(join(home, "config"))
      writeFileSync(join(home, "dotfile"), `\ufeff${written}`, { mode: 0o644 })
      symlinkSync(join(home, "dotfile"), file)
      yield* HivesConf.use(({ update }) => update((text) => put(text, { ...atlas, aliases: ["new"] }))).pipe(
        Effect.provide(inFolder(home))
      )
      assert.isTrue(lstatSync(file).isSymbolicLink())
      assert.strictEqual(statSync(file).mode & 0o777, 0o600)
      const text = readFileSync(join(home, "dotfile"), "utf8")
      assert.isTrue(text.startsWith(`\ufeff${written}`))
      assert.strictEqual(entriesOf(text).length, 3)
    }).pipe(Effect.scoped)
  )

  it.live("keeps all of what many write at once, and readers never see half a file", () =>
    Effect.gen(function* () {
      const home = yield* temporaryFolder
      const writers = yield* Effect.forEach(Array.from({ length: 4 }), () =>
        Effect.map(Layer.build(Layer.fresh(inFolder(home))), (services) =>
          Effect.provide(HivesConf.use(Effect.succeed), services)
        )
      )
      const services = yield* Effect.all(writers)
      const [first] = services
      let readings = 0
      const reader = Effect.gen(function* () {
        const hives = yield* first?.load ?? Effect.succeed([])
        assert.isAtLeast(hives.length, readings)
        readings = hives.length
        yield* Effect.yieldNow
      }).pipe(Effect.forever)
      const writing = Effect.forEach(
        Array.from({ length: 40 }, (_, i) => i),
        (i) =>
          services[i % services.length]?.update((text) => put(text, { ...atlas, aliases: [`hive-${i}`] })) ??
          Effect.void,
        { concurrency: "unbounded", discard: true }
      )
      yield* Effect.raceFirst(writing, reader)
      const text = readFileSync(join(home, "config", "hives.conf"), "utf8")
      assert.strictEqual(entriesOf(text).length, 40)
      assert.isFalse(existsSync(join(home, "config", "hives.conf.lock")))
      assert.strictEqual((yield* first?.hives ?? Effect.succeed([])).length > 0, true)
    }).pipe(Effect.scoped)
  )

  it.live("takes a lock over that a process left behind, and never writes what it could not read", () =>
    Effect.gen(function* () {
      const home = yield* temporaryFolder
      const file = join(home, "config", "hives.conf")
      mkdirSync(join(home, "config"))
      writeFileSync(file, written)
      writeFileSync(`${file}.lock`, '{"pid":999999999,"startTime":"1"}')
      yield* Effect.gen(function* () {
        const { hives, update } = yield* HivesConf
        assert.isFalse(yield* update((text) => text))
        const error = yield* Effect.flip(update((text) => `${text}\nHost broken\n`))
        assert.strictEqual(error._tag, "HivesConfError")
        assert.strictEqual(readFileSync(file, "utf8"), written)
        assert.isTrue(yield* update((text) => remove(text, "boreas")))
        assert.strictEqual((yield* hives).length, 1)
      }).pipe(Effect.provide(inFolder(home)))
    }).pipe(Effect.scoped)
  )
})
