import * as Duration from "effect/Duration"
import * as Option from "effect/Option"
import * as Predicate from "effect/Predicate"
import * as Schema from "effect/Schema"
import { OwnHiveId } from "../operation/fields.ts"

/** How the value of a setting is read, from a text or from TOML. */
export interface SettingCodec<A> {
  readonly expected: string
  readonly read: (raw: unknown) => Option.Option<A>
}

const codec = <A>(expected: string, read: (raw: unknown) => A | undefined): SettingCodec<A> => ({
  expected,
  read: (raw) => Option.fromUndefinedOr(read(raw))
})

const wholeNumber = (raw: unknown) => {
  const number = typeof raw === "string" && /^\d{1,15}$/.test(raw) ? Number(raw) : raw
  return typeof number === "number" && Number.isSafeInteger(number) ? number : undefined
}

const isBetween = (number: number | undefined, minimum: number, maximum: number) =>
  number !== undefined && number >= minimum && number <= maximum ? number : undefined

export const flag = codec("true or false", (raw) =>
  typeof raw === "boolean" ? raw : raw === "true" ? true : raw === "false" ? false : undefined
)

export const text = codec("a text", (raw) => (typeof raw === "string" && raw !== "" ? raw : undefined))

const isOwnHiveId = Schema.is(OwnHiveId)

export const hiveId = codec(
  "a hive id of 1 to 128 letters, digits, '.', '_' and '-', other than 'auto'",
  (raw) => (isOwnHiveId(raw) ? raw : undefined)
)

export type LoopbackAccess = "open" | "token"

export const loopbackAccess = codec("open or token", (raw): LoopbackAccess | undefined =>
  raw === "open" || raw === "token" ? raw : undefined
)

/** The base of addresses, without a slash at its end. */
export const httpUrl = codec("an http or https URL without a query", (raw) => {
  const url = typeof raw === "string" ? URL.parse(raw) : null
  const isBase = url !== null && /^https?:$/.test(url.protocol) && url.search === "" && url.hash === ""
  return isBase && url.username === "" ? url.href.replace(/\/+$/, "") : undefined
})

export const port = codec("a port from 1 to 65535", (raw) => isBetween(wholeNumber(raw), 1, 65_535))

export const count = codec("a whole number from 1 to 1000000", (raw) =>
  isBetween(wholeNumber(raw), 1, 1_000_000)
)

export const optionalCount = codec(
  "a whole number from 1 to 1000000",
  (raw): { readonly count: number } | undefined => {
    const number = isBetween(wholeNumber(raw), 1, 1_000_000)
    return number === undefined ? undefined : { count: number }
  }
)

const units: { readonly [unit: string]: number } = { ms: 1, s: 1_000, m: 60_000, h: 3_600_000, d: 86_400_000 }
const longest = 365 * 86_400_000

const millisOf = (raw: unknown) => {
  if (typeof raw !== "string") return undefined
  const match = /^(\d{1,12}(?:\.\d{1,3})?)\s*(ms|s|m|h|d)$/.exec(raw.trim())
  const [, amount, unit = ""] = match ?? []
  const millis = Number(amount) * (units[unit] ?? Number.NaN)
  return millis > 0 && millis <= longest ? millis : undefined
}

const durationForm = "a time such as 500ms, 30s, 5m or 1h"

export const duration = codec(durationForm, (raw) => {
  const millis = millisOf(raw)
  return millis === undefined ? undefined : Duration.millis(millis)
})

/** A time, or `off`, which is `infinity`. */
export const durationOrOff = codec(`${durationForm}, or off`, (raw) =>
  raw === "off" ? Duration.infinity : Option.getOrUndefined(duration.read(raw))
)

const sizes: { readonly [unit: string]: number } = { "": 1, KB: 1_000, MB: 1_000_000, GB: 1_000_000_000 }

export const bytes = codec("a size in bytes, or such as 64MB", (raw) => {
  const [, amount, unit = ""] = /^(\d{1,12})\s*(|KB|MB|GB)$/i.exec(String(raw).trim()) ?? []
  const size = Number(amount) * (sizes[unit.toUpperCase()] ?? Number.NaN)
  return Number.isSafeInteger(size) && size > 0 ? size : undefined
})

export const stringList = codec("a list of texts", (raw): ReadonlyArray<string> | undefined => {
  const list = typeof raw === "string" ? raw.split(",").map((item) => item.trim()) : raw
  if (!Array.isArray(list) || !list.every(Predicate.isString)) return undefined
  return list.filter((item) => item !== "")
})
