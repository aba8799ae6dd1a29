import * as path from "node:path"
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import { keysOf, readConfigFile, valueAt } from "./configFile.ts"
import { Paths } from "./Paths.ts"
import { providedSetting } from "./providedSetting.ts"
import { type ReadSetting, readSettings } from "./settingGroups.ts"
import { expectedOf } from "./settingSchemas.ts"
import { SettingsError } from "./SettingsError.ts"
import { tomlLine } from "./tomlLine.ts"

/** All settings of rbee, as they were when the process started. Times are durations, sizes are bytes. */
export type SettingValues = Effect.Success<ReturnType<typeof readSettings>>

/** Where each setting's value came from: a flag, a variable, the file, or the default. */
export interface SettingSource {
  readonly key: string
  readonly source: string
  /** As it would be written in `config.toml`; empty for a setting without a default. */
  readonly value: string
}

/** Values of settings by key, such as `queen.port`, that take precedence over environment and file. */
export type SettingOverrides = Readonly<Record<string, string | undefined>>

/** A duration, or a text such as `30 seconds`. */
type TimeInput = Extract<Duration.Input, Duration.Duration | string>

type Ungrouped = "aliases" | "engines" | "allowedHosts" | "allowedOrigins"

type Plain<A> = A extends Duration.Duration ? TimeInput : A

/**
 * Settings that differ from their defaults. Durations may be texts such as `30 seconds`. The limits for values of files and
 * flags do not apply: port 0 is any free port.
 */
export type SettingChanges = Partial<Pick<SettingValues, Ungrouped>> & {
  readonly [Group in Exclude<keyof SettingValues, Ungrouped>]?: {
    readonly [Name in keyof SettingValues[Group]]?: Plain<SettingValues[Group][Name]>
  }
}

/** The settings: flag, environment (`RBEE_QUEEN_PORT`), `config.toml` (`[queen] port`), default, in this order. */
export class Settings extends Context.Service<
  Settings,
  SettingValues & {
    readonly sources: ReadonlyArray<SettingSource>
    /** Invalid values of `config.toml` that a flag or the environment overrides, so that they have no effect. */
    readonly overridden: ReadonlyArray<SettingsError>
    /** The keys of `config.toml` that are not settings. */
    readonly unknown: ReadonlyArray<string>
  }
>()("rbee/settings/Settings") {
  /** With values that take precedence over environment and file, such as those of flags. */
  static readonly layerWith = (overrides: SettingOverrides) =>
    Layer.effect(
      Settings,
      Effect.suspend(() => make(overrides))
    )

  static readonly layer = this.layerWith({})

  /**
   * The defaults, with changes, without environment and file: for tests and for applications. An invalid change is a defect
   * that names the setting.
   */
  static readonly layerDefaults = (changes: SettingChanges = {}) =>
    Layer.effect(Settings, Effect.orDie(Effect.suspend(() => makeFrom(changes))))
}

const printed = (value: unknown): string => {
  if (value === undefined) return ""
  if (Duration.isDuration(value))
    return Duration.isFinite(value) ? Duration.format(value).replaceAll(" ", "") : "off"
  return typeof value === "string" ? value : JSON.stringify(value)
}

const decoded = <A>(key: string, schema: Schema.ConstraintDecoder<A>, source: string, raw: unknown) =>
  Effect.mapError(
    Schema.decodeUnknownEffect(schema, { onExcessProperty: "error" })(raw),
    () =>
      new SettingsError({
        key,
        value: JSON.stringify(raw) ?? "undefined",
        source,
        expected: expectedOf(schema)
      })
  )

const camelCase = (key: string) => key.replace(/_([a-z0-9])/g, (_, letter: string) => letter.toUpperCase())

const makeFrom = Effect.fnUntraced(function* (changes: SettingChanges) {
  const read: ReadSetting = (key, schema, fallback) => {
    const value = valueAt(changes, camelCase(key))
    if (value === undefined) return Effect.succeed(fallback)
    const isDecoded = Schema.is(Schema.toType(schema))
    return isDecoded(value) ? Effect.succeed(value) : decoded(key, schema, "Settings.layerDefaults", value)
  }
  return Settings.of({ ...(yield* readSettings(read)), sources: [], overridden: [], unknown: [] })
})

const make = Effect.fnUntraced(function* (overrides: SettingOverrides) {
  const { config } = yield* Paths
  const file = path.join(config, "config.toml")
  const { document, text } = yield* readConfigFile(file)
  const sources: Array<SettingSource> = []
  const overridden: Array<SettingsError> = []

  const find = Effect.fnUntraced(function* (key: string, alsoVariable: string | undefined) {
    const flag = overrides[key]
    if (flag !== undefined) return { source: "flags", raw: flag }
    const provided = yield* providedSetting(key, alsoVariable)
    if (provided !== undefined) return provided
    return undefined
  })

  const inFile = (key: string) => {
    const raw = valueAt(document, key)
    if (raw === undefined) return undefined
    const line = tomlLine(text, key)
    return { source: file, place: line === undefined ? file : `${file}, line ${line}`, raw }
  }

  const read: ReadSetting = Effect.fnUntraced(function* (key, schema, fallback, alsoVariable) {
    const fileValue = inFile(key)
    const override = yield* find(key, alsoVariable)
    const found = override === undefined ? fileValue : { ...override, place: override.source }
    if (override !== undefined && fileValue !== undefined) {
      const checked = yield* Effect.result(decoded(key, schema, fileValue.place, fileValue.raw))
      if (Result.isFailure(checked)) overridden.push(checked.failure)
    }
    sources.push({
      key,
      source: found?.source ?? "default",
      value: printed(found === undefined ? fallback : found.raw)
    })
    return found === undefined ? fallback : yield* decoded(key, schema, found.place, found.raw)
  })

  const values = yield* readSettings(read)
  const known = new Set(sources.map(({ key }) => key))
  const unknown = keysOf(document).filter(
    (key) => key !== "" && !known.has(key) && !key.startsWith("engines.") && !key.startsWith("aliases.")
  )
  for (const key of unknown) yield* Effect.logWarning("unknown setting", { key, file })
  return Settings.of({ ...values, sources, overridden, unknown })
})
