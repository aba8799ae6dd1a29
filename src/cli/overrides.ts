import * as Option from "effect/Option"
import type { SettingOverrides } from "../settings/Settings.ts"

/** Flags as setting overrides; flags that were not given are undefined. */
export const overridesOf = (
  flags: Readonly<Record<string, Option.Option<number | string>>>
): SettingOverrides =>
  Object.fromEntries(
    Object.entries(flags).map(([key, value]) => [key, Option.getOrUndefined(Option.map(value, String))])
  )
