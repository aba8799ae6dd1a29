import { mkdirSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { NodeServices } from "@effect/platform-node"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Layer, Logger, Result } from "effect"
import { HivesConf } from "../../src/hives/HivesConf.ts"
import { parseHivesConf } from "../../src/hives/HivesConfFormat.ts"
import { Paths } from "../../src/settings/Paths.ts"
import { Pids } from "../../src/system/Pids.ts"
import { temporaryFolder } from "../support/rbee.ts"
import { until } from "../support/until.ts"

const parse = (text: string) => Result.getOrThrow(parseHivesConf(text, "hives.conf"))
const refusal = (text: string) => Result.getOrThrow(Result.flip(parseHivesConf(text, "hives.conf")))

const block = (...lines: ReadonlyArray<string>) => ["Host atlas", ...lines].join("\n")
const good = ["HostName 192.168.1.20", "User me", "HivePort 8081"]
const atlas = { aliases: ["atlas"], hostName: "192.168.1.20", port: 22, user: "me", hivePort: 8081 }

describe("the format of hives.conf", () => {
  it("takes comments, blank lines, tabs, trailing spaces, CRLF, any case and =", () => {
    const text =
      "# hives\r\n\r\nHOST atlas  \r\n\thostname = 192.168.1.20\t\r\n  # inside\r\nUSER me\r\nHivePort=8081\r\n"
    assert.deepStrictEqual(parse(text), [atlas])
  })

  it("takes several aliases, an ssh port, a path, and passes over what it does not know", () => {
    const text = "Host a b\n" + [...good, "Port 2222", "BinaryPath /opt/rbee", "ForwardAgent yes"].join("\n")
    assert.deepStrictEqual(parse(text), [
      { ...atlas, aliases: ["a", "b"], port: 2222, binaryPath: "/opt/rbee" }
    ])
  })

  it("refuses a Host line with a line separator in it, which is no space in a name", () => {
    const { field, line } = refusal(`${block(...good)}\nHost other\u2028 name\u0000\n${good.join("\n")}`)
    assert.deepStrictEqual([field, line], ["Host", 5])
  })

  it("skips Host * with its properties", () => {
    assert.deepStrictEqual(parse(`Host *\n  User nobody\n\n${block(...good)}`), [atlas])
  })

  it("takes an empty text as no hives", () => assert.deepStrictEqual(parse(""), []))

  it("refuses with line, field, host and value", () => {
    assert.strictEqual(
      refusal(block("HostName h", "User me", "HivePort 65536")).message,
      "hives.conf, line 4, host 'atlas': HivePort: expected a port from 1 to 65535, got '65536'"
    )
    for (const port of ["0", "abc", "-1", "65536", ""]) {
      assert.strictEqual(refusal(block("HostName h", "User me", `HivePort ${port}`)).field, "HivePort", port)
    }
    for (const port of ["0", "abc", "-1", "65536", ""]) {
      const { field, line, value } = refusal(block(...good, `Port ${port}`))
      assert.deepStrictEqual([field, line, value], ["Port", 5, port])
    }
    for (const field of ["HostName", "User", "HivePort"]) {
      const refused = refusal(block(...good.filter((line) => !line.startsWith(field))))
      assert.deepStrictEqual([refused.field, refused.line, refused.host], [field, 1, "atlas"])
    }
    for (const [first, second] of [
      ["atlas", "atlas"],
      ["atlas other", "other"],
      ["atlas", "second atlas"]
    ]) {
      const twice = refusal(`Host ${first}\n${good.join("\n")}\nHost ${second}\n${good.join("\n")}`)
      assert.deepStrictEqual([twice.field, twice.line], ["Host", 5])
      assert.strictEqual(twice.value, second?.split(" ").at(-1))
    }
    const outside = refusal("User me")
    assert.deepStrictEqual([outside.field, outside.line, outside.value], ["User", 1, "me"])
    for (const bad of ["$(id)", "a;b", "-oProxyCommand=x", "a`b"]) {
      assert.strictEqual(refusal(block(`HostName ${bad}`, "User me", "HivePort 1")).field, "HostName", bad)
      assert.strictEqual(refusal(`Host ${bad}\n${good.join("\n")}`).field, "Host", bad)
    }
  })
})

describe("a running HivesConf", () => {
  const inFolder = Effect.gen(function* () {
    const home = yield* temporaryFolder
    mkdirSync(join(home, "config"), { recursive: true })
    const layer = HivesConf.layer.pipe(
      Layer.provide(Pids.layer),
      Layer.provide([Paths.layerAt(home), NodeServices.layer])
    )
    return { file: join(home, "config", "hives.conf"), layer }
  })

  const untilThereAre = (count: number) =>
    until(
      HivesConf.use(({ hives }) => hives),
      (hives) => hives.length === count,
      "2 seconds"
    )

  it.live("sees an edit within two seconds, and keeps the last good one after a broken edit", () =>
    Effect.gen(function* () {
      const { file, layer } = yield* inFolder
      const problems: Array<string> = []
      const logger = Logger.make(({ logLevel, message }) => {
        if (logLevel === "Warn") problems.push(JSON.stringify(message))
      })
      yield* Effect.gen(function* () {
        const { hives, load } = yield* HivesConf
        assert.strictEqual((yield* untilThereAre(0)).length, 0)
        writeFileSync(file, block(...good))
        yield* untilThereAre(1)
        writeFileSync(file, "Host broken\n")
        assert.include((yield* Effect.flip(load)).message, `${file}, line 1, host 'broken'`)
        yield* until(
          Effect.sync(() => problems.length),
          (count) => count > 0,
          "2 seconds"
        )
        assert.include(problems[0], `${file}, line 1, host 'broken'`)
        assert.deepStrictEqual(yield* hives, [atlas])
        writeFileSync(file, `${block(...good)}\nHost second\n${good.join("\n")}`)
        yield* untilThereAre(2)
      }).pipe(Effect.provide(Layer.provideMerge(layer, Logger.layer([logger]))))
    })
  )

  it.live("takes no file as no hives, and notes it once", () =>
    Effect.gen(function* () {
      const { file, layer } = yield* inFolder
      const notes: Array<unknown> = []
      const logger = Logger.make(({ message }) => notes.push(message))
      yield* Effect.gen(function* () {
        assert.deepStrictEqual(yield* HivesConf.use(({ load }) => load), [])
        assert.deepStrictEqual(yield* HivesConf.use(({ hives }) => hives), [])
      }).pipe(Effect.provide(Layer.provideMerge(layer, Logger.layer([logger]))))
      assert.deepStrictEqual(notes, [
        ["hives.conf does not exist, so no hives are configured on other machines", { file }]
      ])
    })
  )

  it.live("takes an empty file as no hives", () =>
    Effect.gen(function* () {
      const { file, layer } = yield* inFolder
      writeFileSync(file, "")
      assert.deepStrictEqual(yield* HivesConf.use(({ load }) => load).pipe(Effect.provide(layer)), [])
    })
  )

  it.live("says which file is cut off, and where", () =>
    Effect.gen(function* () {
      const { file, layer } = yield* inFolder
      writeFileSync(file, block(...good).slice(0, -"ivePort 8081".length))
      const error = yield* HivesConf.use(({ load }) => Effect.flip(load)).pipe(Effect.provide(layer))
      assert.include(error.message, `${file}, line 1, host 'atlas': HivePort: expected a port`)
    })
  )

  it.live("says which file is not UTF-8", () =>
    Effect.gen(function* () {
      const { file, layer } = yield* inFolder
      writeFileSync(file, Buffer.from([0x48, 0xff, 0xfe]))
      const error = yield* HivesConf.use(({ load }) => Effect.flip(load)).pipe(Effect.provide(layer))
      assert.include(error.message, file)
      assert.include(error.message, "UTF-8")
    })
  )
})
