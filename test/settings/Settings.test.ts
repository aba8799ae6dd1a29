import { mkdirSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { NodeServices } from "@effect/platform-node"
import { assert, describe, it } from "@effect/vitest"
import { ConfigProvider, Duration, Effect, Layer, Option, Redacted } from "effect"
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
  it.live("takes flags before the environment, the file and the defaults", () =>
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

  it.live("names key, value, place and what was expected of a value that it cannot take", () =>
    Effect.gen(function* () {
      const refused = (given: Given) => Effect.map(Effect.flip(settings(given)), ({ message }) => message)
      assert.strictEqual(
        yield* refused({ env: { RBEE_QUEEN_PORT: "0" } }),
        `Setting 'queen.port' in RBEE_QUEEN_PORT: expected a port from 1 to 65535, got "0"`
      )
      for (const id of ["../x", "a b", "auto", "a".repeat(129), ".hidden", "x/y"]) {
        const expected = `Setting 'hive.id' in RBEE_HIVE_ID: expected a hive id of 1 to 128 letters, digits, '.', '_' and '-', other than 'auto', got ${JSON.stringify(id)}`
        assert.strictEqual(yield* refused({ env: { RBEE_HIVE_ID: id } }), expected)
      }
      assert.include(yield* refused({ toml: `[timeouts]\nidle = "soon"` }), `got "soon"`)
      assert.include(yield* refused({ toml: `[timeouts]\nidle = "0s"` }), "timeouts.idle")
      assert.include(yield* refused({ toml: "[queen\n" }), "config.toml")
    })
  )

  it.live("has a hive report to the queen of its own configuration, unless it is told another", () =>
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

  it.live("warns of what it does not know, and goes on", () =>
    Effect.gen(function* () {
      assert.strictEqual((yield* settings({ toml: "[queen]\ncolour = 3\n" })).queen.port, 8500)
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
  it.live("comes from the file, then from the environment, then from the folder", () =>
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

  it.live("accepts its own header only, and has another for a hive that has one", () =>
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

  it.live("has at least 16 characters, and is not told when it is refused", () =>
    Effect.gen(function* () {
      const error = yield* Effect.flip(token({ env: { RBEE_TOKEN: "short-secret" } }))
      assert.include(error.message, "at least 16")
      assert.notInclude(error.message, "short-secret")
      assert.include((yield* Effect.flip(token({}, () => "/nowhere/token"))).message, "no such file")
    })
  )

  it.effect("is needed to listen beyond loopback", () =>
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

  it.effect("is needed on loopback too where auth.loopback says so", () =>
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
