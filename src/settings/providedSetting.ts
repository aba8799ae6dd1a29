import * as ConfigProvider from "effect/ConfigProvider"
import * as Effect from "effect/Effect"
import { SettingsError } from "./SettingsError.ts"

/** The variable of a setting: `RBEE_QUEEN_PORT` for `queen.port`. */
export const variableOf = (key: string) => `RBEE_${key.replaceAll(".", "_").toUpperCase()}`

/** A value that the `ConfigProvider` has for a setting, and the path at which it was found. */
export interface ProvidedSetting {
  readonly source: string
  readonly raw: string | ReadonlyArray<string>
}

/**
 * Looks a setting up in the application's `ConfigProvider`: as its variable (`RBEE_QUEEN_PORT`), as `alsoVariable`, and, in a
 * nested provider, below `rbee` with the keys of `config.toml` (`{ rbee: { queen: { port: "8500" } } }`). An empty text counts
 * as absent. Fails when the source is broken, or has a table for the setting.
 */
export const providedSetting = Effect.fn("Settings.provided")(function* (
  key: string,
  alsoVariable: string | undefined
) {
  const provider = yield* ConfigProvider.ConfigProvider
  const places = [
    [variableOf(key)],
    ...(alsoVariable === undefined ? [] : [[alsoVariable]]),
    ["rbee", ...key.split(".")]
  ]
  for (const place of places) {
    const source = place.join(".")
    const invalid = (value: string, expected: string) => new SettingsError({ key, value, source, expected })
    const load = (path: ReadonlyArray<string | number>) =>
      Effect.mapError(provider.load(path), ({ message }) => invalid(message, "a readable source"))
    const node = yield* load(place)
    if (node === undefined) continue
    if (node.value !== undefined) {
      if (node.value !== "") return { source, raw: node.value } satisfies ProvidedSetting
    } else if (node._tag === "Array") {
      const items = yield* Effect.forEach(
        Array.from({ length: node.length }, (_, i) => i),
        (i) => load([...place, i])
      )
      const raw = items.map((item) => item?.value ?? "")
      return { source, raw } satisfies ProvidedSetting
    } else if (node._tag === "Record" && place.length > 1) {
      return yield* invalid("a table", "a text or a list; tables are read from config.toml only")
    }
  }
  return undefined
})
