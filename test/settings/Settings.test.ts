import { mkdirSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { NodeServices } from "@effect/platform-node"
import { assert, describe, it } from "@effect/vitest"
import { Cause, ConfigProvider, Duration, Effect, Layer, Option, Redacted } from "effect"
import { checkBind, fingerprint, Token } from "../../src/access/Token.ts"
import { Paths } from "../../src/settings/Paths.ts"
import { Settings } from "../../src/settings/Settings.ts"
import { temporaryFolder } from "../support/rbee.ts"

interface Given {
  readonly flags?: Readonly<Record<string, string>>
  readonly env?: Readonly<Record<string, string>>
  readonly toml?: string
  readonly files?: Readonly<Record<string, string>>
}

const machine = Effect.fnUntraced(function* ({ env = {}, files = {}, toml }: Given) {
  const home = yield* temporaryFolder
  mkdirSync(join(home, "config", "tokens"), { recursive: true })
  if (toml !== undefined) writeFileSync(join(home, "config", "config.toml"), toml)
  for (const [name, text] of Object.entries(files)) writeFileSync(join(home, "config", name), text)
  const provider = ConfigProvider.layer(ConfigProvider.fromEnv({ env }))
  return { home, layer: Layer.mergeAll(Paths.layerAt(home), NodeServices.layer, provider) }
})

const settings = Effect.fnUntraced(function* (given: Given) {
  const { layer } = yield* machine(given)
  return yield* Effect.gen(function* () {
    return yield* Settings
  }).pipe(Effect.provide(Layer.provide(Settings.layerWith(given.flags ?? {}), layer)))
})

describe("Settings", () => {
  it.live("names the line of a value in the file, also of one that is overridden and has no effect", () =>
    Effect.gen(function* () {
      const toml = `# ports\n[queen]\nhost = "127.0.0.1"\nport = 0\n\n[timeouts]\nidle = "soon"\n`
      const { message } = yield* Effect.flip(settings({ toml }))
      assert.match(message, /config\.toml, line 4\): expected a port from 1 to 65535, got 0$/)
      const all = yield* settings({
        toml,
        flags: { "queen.port": "1000" },
        env: { RBEE_TIMEOUTS_IDLE: "5s" }
      })
      assert.strictEqual(all.queen.port, 1000)
      assert.deepStrictEqual(
        all.overridden.map(({ key, source, value }) => [key, source.replace(/^.*\//, ""), value]),
        [
          ["queen.port", "config.toml, line 4", "0"],
          ["timeouts.idle", "config.toml, line 7", `"soon"`]
        ]
      )
      assert.deepStrictEqual((yield* settings({ env: { RBEE_QUEEN_PORT: "1" } })).overridden, [])
    })
  )

  it.live("prefers flags to the environment, the file and the defaults", () =>
    Effect.gen(function* () {
      const toml = `[queen]\nport = 3000\nhost = "127.0.0.2"\n[timeouts]\nfirst_event = "5s"\ntotal = "1h"\n`
      const env = { RBEE_QUEEN_PORT: "2000", RBEE_LIMITS_BODY_BYTES: "2MB" }
      const all = yield* settings({ flags: { "queen.port": "1000" }, env, toml })
      assert.deepStrictEqual(all.queen, { host: "127.0.0.2", port: 1000 })
      assert.strictEqual(all.limits.bodyBytes, 2_000_000)
      assert.strictEqual(Duration.toSeconds(all.timeouts.firstEvent), 5)
      assert.strictEqual(Duration.toMinutes(all.timeouts.total), 60)
      assert.strictEqual(Duration.toSeconds(all.timeouts.idle), 60)
      const sourceOf = (key: string) => all.sources.find((source) => source.key === key)?.source
      assert.strictEqual(sourceOf("queen.port"), "flags")
      assert.strictEqual(sourceOf("limits.body_bytes"), "RBEE_LIMITS_BODY_BYTES")
      assert.include(sourceOf("queen.host"), "config.toml")
      assert.strictEqual(sourceOf("timeouts.idle"), "default")
    })
  )

  it.live("reports an invalid value with its key, source and the expected form", () =>
    Effect.gen(function* () {
      const refused = (given: Given) => Effect.map(Effect.flip(settings(given)), ({ message }) => message)
      assert.strictEqual(
        yield* refused({ env: { RBEE_QUEEN_PORT: "0" } }),
        `Invalid setting 'queen.port' (from RBEE_QUEEN_PORT): expected a port from 1 to 65535, got "0"`
      )
      for (const id of ["../x", "a b", "auto", "a".repeat(129), ".hidden", "x/y"]) {
        const expected = `Invalid setting 'hive.id' (from RBEE_HIVE_ID): expected a hive id of 1 to 128 letters, digits, '.', '_' and '-', other than 'auto', got ${JSON.stringify(id)}`
        assert.strictEqual(yield* refused({ env: { RBEE_HIVE_ID: id } }), expected)
      }
      assert.include(yield* refused({ toml: `[timeouts]\nidle = "soon"` }), `got "soon"`)
      assert.include(yield* refused({ toml: `[timeouts]\nidle = "0s"` }), "timeouts.idle")
      assert.include(yield* refused({ toml: "[queen\n" }), "config.toml")
    })
  )

  it.live("makes a hive report to the queen of its own configuration, unless queen_url names another", () =>
    Effect.gen(function* () {
      const urlOf = (toml: string) => Effect.map(settings({ toml }), ({ hive }) => hive.queenUrl)
      assert.strictEqual(yield* urlOf(""), "http://127.0.0.1:8500")
      assert.strictEqual(yield* urlOf("[queen]\nport = 9000"), "http://127.0.0.1:9000")
      assert.strictEqual(yield* urlOf(`[queen]\nhost = "0.0.0.0"`), "http://127.0.0.1:8500")
      assert.strictEqual(yield* urlOf(`[queen]\nhost = "::"\nport = 9000`), "http://127.0.0.1:9000")
      assert.strictEqual(yield* urlOf(`[queen]\nhost = "::1"`), "http://[::1]:8500")
      assert.strictEqual(
        yield* urlOf(`[queen]\nport = 9000\n[hive]\nqueen_url = "http://10.0.0.1:8500/"`),
        "http://10.0.0.1:8500"
      )
      const { message } = yield* Effect.flip(settings({ toml: `[hive]\nqueen_url = "atlas"` }))
      assert.include(message, "expected an http or https URL")
    })
  )

  it.live("lists the keys of config.toml that are not settings", () =>
    Effect.gen(function* () {
      const all = yield* settings({ toml: "[queen]\ncolour = 3\nport = 9000\n" })
      assert.strictEqual(all.queen.port, 9000)
      assert.deepStrictEqual(all.unknown, ["queen.colour"])
    })
  )

  it.live("reads each form of a value", () =>
    Effect.gen(function* () {
      const value = (key: string, text: string) => settings({ flags: { [key]: text } })
      const idle = (text: string) =>
        Effect.map(value("timeouts.idle", text), ({ timeouts }) => Duration.toMillis(timeouts.idle))
      for (const [text, millis] of [
        ["500ms", 500],
        ["1.5 s", 1500],
        ["2m", 120_000],
        ["30 seconds", 30_000],
        ["1 minute", 60_000],
        ["365d", 365 * 86_400_000]
      ] as const) {
        assert.strictEqual(yield* idle(text), millis, text)
      }
      for (const text of ["30", "-1s", "0ms", "366d", "1 fortnight", "off", "Infinity", ""]) {
        if (text !== "") assert.strictEqual((yield* Effect.flip(idle(text)))._tag, "SettingsError", text)
      }
      assert.isFalse(Duration.isFinite((yield* value("timeouts.total", "off")).timeouts.total))
      assert.strictEqual((yield* value("limits.body_bytes", "64 mb")).limits.bodyBytes, 64_000_000)
      assert.strictEqual((yield* value("engine.threads", "3")).engine.threads, 3)
      assert.isUndefined((yield* value("engine.parallel", "3")).engine.threads)
      assert.isTrue((yield* value("scheduler.download", "true")).scheduler.download)
      assert.deepStrictEqual((yield* value("allowed_hosts", "a, b,,")).allowedHosts, ["a", "b"])
      assert.strictEqual(
        (yield* value("models.hf_endpoint", "http://hub:1//")).models.hfEndpoint,
        "http://hub:1"
      )
      for (const [key, text] of [
        ["limits.body_bytes", "64 TB"],
        ["engine.threads", "1.5"],
        ["scheduler.download", "yes"],
        ["models.hf_endpoint", "http://user@hub"],
        ["aliases", "small"]
      ] as const) {
        assert.strictEqual((yield* Effect.flip(value(key, text))).key, key)
      }
    })
  )
})

describe("a nested ConfigProvider", () => {
  const provided = (values: unknown, toml = "") =>
    Effect.gen(function* () {
      const { layer } = yield* machine({ toml })
      const provider = ConfigProvider.layer(ConfigProvider.fromUnknown(values))
      return yield* Effect.gen(function* () {
        return yield* Settings
      }).pipe(Effect.provide(Settings.layer.pipe(Layer.provide(provider), Layer.provide(layer))))
    })

  it.live("takes precedence over config.toml, with the same keys below 'rbee'", () =>
    Effect.gen(function* () {
      const all = yield* provided(
        {
          rbee: { queen: { port: 9000 }, timeouts: { first_event: "5 seconds" }, allowed_hosts: ["a", "b"] }
        },
        "[queen]\nport = 7000\nhost = '127.0.0.2'\n"
      )
      assert.deepStrictEqual(all.queen, { host: "127.0.0.2", port: 9000 })
      assert.strictEqual(Duration.toSeconds(all.timeouts.firstEvent), 5)
      assert.deepStrictEqual(all.allowedHosts, ["a", "b"])
      assert.strictEqual(all.sources.find(({ key }) => key === "queen.port")?.source, "rbee.queen.port")
    })
  )

  it.live("fails for an invalid value, and for a table", () =>
    Effect.gen(function* () {
      const port = yield* Effect.flip(provided({ rbee: { queen: { port: 0 } } }))
      assert.strictEqual(
        port.message,
        `Invalid setting 'queen.port' (from rbee.queen.port): expected a port from 1 to 65535, got "0"`
      )
      const table = yield* Effect.flip(provided({ rbee: { aliases: { small: { model: "m" } } } }))
      assert.include(
        table.message,
        "Invalid setting 'aliases' (from rbee.aliases): expected a text or a list"
      )
    })
  )

  it.live("may have a prefix", () =>
    Effect.gen(function* () {
      const { layer } = yield* machine({})
      const env = ConfigProvider.fromEnv({ env: { APP_RBEE_QUEEN_PORT: "9000" } })
      const provider = ConfigProvider.layer(ConfigProvider.nested(env, "APP"))
      const { port } = yield* Settings.use(({ queen }) => Effect.succeed(queen)).pipe(
        Effect.provide(Settings.layer.pipe(Layer.provide(provider), Layer.provide(layer)))
      )
      assert.strictEqual(port, 9000)
    })
  )
})

describe("Settings.layerDefaults", () => {
  it.effect("takes plain values with readable durations", () =>
    Effect.gen(function* () {
      const { queen, timeouts } = yield* Settings
      assert.strictEqual(queen.port, 0)
      assert.strictEqual(queen.host, "127.0.0.1")
      assert.strictEqual(Duration.toSeconds(timeouts.firstEvent), 30)
      assert.strictEqual(Duration.toMillis(timeouts.idle), 5)
      assert.strictEqual(Duration.toSeconds(timeouts.connect), 2)
    }).pipe(
      Effect.provide(
        Settings.layerDefaults({
          queen: { port: 0 },
          timeouts: { firstEvent: "30 seconds", idle: Duration.millis(5) }
        })
      )
    )
  )

  it.effect("names an invalid value", () =>
    Effect.gen(function* () {
      const cause = yield* Effect.sandbox(
        Layer.build(Settings.layerDefaults({ timeouts: { idle: "-1 days" } }))
      ).pipe(Effect.flip)
      assert.include(
        String(Cause.squash(cause)),
        "Invalid setting 'timeouts.idle' (from Settings.layerDefaults)"
      )
    })
  )
})

const long = "a-token-of-some-length"

const token = Effect.fnUntraced(function* (given: Given, file?: (home: string) => string) {
  const { home, layer } = yield* machine(given)
  return yield* Effect.gen(function* () {
    return yield* Token
  }).pipe(Effect.provide(Layer.provide(Token.layerWith(file?.(home)), layer)))
})

describe("Token", () => {
  it.live("comes from the given file, else the environment, else the folder", () =>
    Effect.gen(function* () {
      const own = (given: Given, file?: (home: string) => string) =>
        Effect.map(token(given, file), ({ own }) => Option.getOrUndefined(Option.map(own, Redacted.value)))
      const files = { token: `${long}-folder\n`, other: `${long}-file` }
      const env = { RBEE_TOKEN: `${long}-env` }
      assert.strictEqual(yield* own({ files, env }, (home) => join(home, "config", "other")), `${long}-file`)
      assert.strictEqual(yield* own({ files, env }), `${long}-env`)
      assert.strictEqual(yield* own({ files }), `${long}-folder`)
      assert.isUndefined(yield* own({}))
    })
  )

  it.live("accepts only the exact credential, and knows the tokens of hives", () =>
    Effect.gen(function* () {
      const mine = yield* token({ env: { RBEE_TOKEN: long }, files: { "tokens/atlas": `${long}-atlas` } })
      assert.isTrue(mine.accepts(long))
      for (const credential of ["", "Bearer", `${long}x`, `bearer ${long}`, long.slice(1)]) {
        assert.isFalse(mine.accepts(credential), credential)
      }
      const of = (alias: string) => Effect.map(mine.forHive(alias), (found) => found && Redacted.value(found))
      assert.strictEqual(yield* of("atlas"), `${long}-atlas`)
      assert.strictEqual(yield* of("other"), long)
      assert.match(fingerprint(Redacted.make(long)), /^[0-9a-f]{8}$/)
    })
  )

  it.live("has at least 16 characters, and no message shows a rejected one", () =>
    Effect.gen(function* () {
      const error = yield* Effect.flip(token({ env: { RBEE_TOKEN: "short-secret" } }))
      assert.include(error.message, "at least 16")
      assert.notInclude(error.message, "short-secret")
      assert.include((yield* Effect.flip(token({}, () => "/nowhere/token"))).message, "no such file")
    })
  )

  it.effect("is required for a host other than loopback", () =>
    Effect.gen(function* () {
      for (const host of ["127.0.0.1", "127.1.2.3", "localhost", "::1"]) {
        yield* Effect.provide(checkBind(host), [Token.layerMemory(), Settings.layerDefaults()])
      }
      for (const host of ["0.0.0.0", "::", "192.168.1.5", "example.org", "127.0.0.1.evil.org"]) {
        const refused = yield* Effect.flip(
          Effect.provide(checkBind(host), [Token.layerMemory(), Settings.layerDefaults()])
        )
        assert.include(refused.message, host)
        yield* Effect.provide(checkBind(host), [Token.layerMemory(long), Settings.layerDefaults()])
      }
    })
  )

  it.effect("is required on loopback if auth.loopback is token", () =>
    Effect.gen(function* () {
      const settings = Settings.layerDefaults({ auth: { loopback: "token" } })
      for (const host of ["127.0.0.1", "localhost", "::1"]) {
        const refused = yield* Effect.flip(Effect.provide(checkBind(host), [Token.layerMemory(), settings]))
        assert.strictEqual(refused._tag, "TokenMissing", host)
        assert.include(refused.message, "auth.loopback")
        assert.include(refused.message, "RBEE_TOKEN")
        yield* Effect.provide(checkBind(host), [Token.layerMemory(long), settings])
      }
    })
  )
})
