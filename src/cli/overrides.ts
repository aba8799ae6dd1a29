import * as Option from "effect/Option"
import type { SettingOverrides } from "../settings/Settings.ts"

/** The flags that were given, as settings. */
export const overridesOf = (
  flags: Readonly<Record<string, Option.Option<number | string>>>
): SettingOverrides =>
  Object.fromEntries(
    Object.entries(flags).map(([key, value]) => [key, Option.getOrUndefined(Option.map(value, String))])
  )
