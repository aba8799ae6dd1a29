import * as Duration from "effect/Duration"
import * as Option from "effect/Option"
import * as Predicate from "effect/Predicate"
import * as Schema from "effect/Schema"
import * as SchemaGetter from "effect/SchemaGetter"
import * as SchemaTransformation from "effect/SchemaTransformation"
import { OwnHiveId } from "../operation/fields.ts"

/*
 * How settings are read from texts (flags, variables) and from TOML values. The `expected` annotation completes the sentence
 * of an error. Limits apply to what is read, not to the values that an application passes in code.
 */

const fromTrueOrFalse = Schema.Literals(["true", "false"]).pipe(
  Schema.decodeTo(Schema.Boolean, {
    decode: SchemaGetter.transform((text) => text === "true"),
    encode: SchemaGetter.transform((value) => (value ? "true" : "false"))
  })
)

export const Flag = Schema.Union([Schema.Boolean, fromTrueOrFalse]).annotate({ expected: "true or false" })

export const Text = Schema.NonEmptyString.annotate({ expected: "a text" })

export const HiveName = OwnHiveId.annotate({
  expected: "a hive id of 1 to 128 letters, digits, '.', '_' and '-', other than 'auto'"
})

export const StorageSync = Schema.Literals(["process", "full", "off"]).annotate({
  expected: "process, full or off"
})

export const LoopbackAccess = Schema.Literals(["open", "token"]).annotate({ expected: "open or token" })

const baseUrl = (text: string) => {
  const url = URL.parse(text)
  const isBase = url !== null && /^https?:$/.test(url.protocol) && url.search === "" && url.hash === ""
  return isBase && url.username === "" ? url.href.replace(/\/+$/, "") : undefined
}

/** The base of URLs, without a trailing slash. */
export const HttpUrl = Schema.String.check(
  Schema.makeFilter((text: string) => baseUrl(text) !== undefined)
).pipe(
  Schema.decodeTo(Schema.String, {
    decode: SchemaGetter.transform((text) => baseUrl(text) ?? text),
    encode: SchemaGetter.passthrough()
  }),
  Schema.annotate({ expected: "an http or https URL without a query" })
)

const Integer = Schema.Union([
  Schema.Int,
  Schema.String.check(Schema.isPattern(/^\d{1,15}$/)).pipe(
    Schema.decodeTo(Schema.Int, SchemaTransformation.numberFromString)
  )
])

const integerBetween = (minimum: number, maximum: number) =>
  Integer.check(Schema.isBetween({ minimum, maximum })).pipe(Schema.decodeTo(Schema.Int))

export const Port = integerBetween(1, 65_535).annotate({ expected: "a port from 1 to 65535" })

export const Count = integerBetween(1, 1_000_000).annotate({ expected: "an integer from 1 to 1000000" })

const units: { readonly [unit: string]: number } = { ms: 1, s: 1_000, m: 60_000, h: 3_600_000, d: 86_400_000 }
const maxMillis = 365 * 86_400_000

const shortForm = (text: string) => {
  const [, amount, unit = ""] = /^(\d{1,12}(?:\.\d{1,3})?)\s*(ms|s|m|h|d)$/.exec(text.trim()) ?? []
  return amount === undefined ? undefined : Number(amount) * (units[unit] ?? Number.NaN)
}

const longForm = /^(\d{1,12}(?:\.\d{1,3})?) (milli|second|minute|hour|day)s?$/
const longUnits: { readonly [unit: string]: string } = {
  milli: "ms",
  second: "s",
  minute: "m",
  hour: "h",
  day: "d"
}

/** Milliseconds of `30s` or `30 seconds`, if they are more than zero and at most a year. */
const millisOf = (text: string) => {
  const [, amount, unit = ""] = longForm.exec(text.trim()) ?? []
  const millis = shortForm(amount === undefined ? text : `${amount}${longUnits[unit]}`)
  return millis !== undefined && millis > 0 && millis <= maxMillis ? millis : undefined
}

const timeForms = "a time such as 500ms, 30s, 5m or 1h"

export const TimeSpan = Schema.String.check(
  Schema.makeFilter((text: string) => millisOf(text) !== undefined)
).pipe(
  Schema.decodeTo(Schema.Duration, {
    decode: SchemaGetter.transform((text) => Duration.millis(millisOf(text) ?? 0)),
    encode: SchemaGetter.transform((duration) => `${Duration.toMillis(duration)}ms`)
  }),
  Schema.annotate({ expected: timeForms })
)

const off = Schema.Literal("off").pipe(
  Schema.decodeTo(Schema.Duration, {
    decode: SchemaGetter.transform(() => Duration.infinity),
    encode: SchemaGetter.transform((): "off" => "off")
  })
)

/** A time, or `off`, which is `infinity`. */
export const TimeSpanOrOff = Schema.Union([off, TimeSpan]).annotate({ expected: `${timeForms}, or off` })

const sizes: { readonly [unit: string]: number } = { "": 1, KB: 1_000, MB: 1_000_000, GB: 1_000_000_000 }

const sizeOf = (raw: string | number) => {
  const [, amount, unit = ""] = /^(\d{1,12})\s*(|KB|MB|GB)$/i.exec(String(raw).trim()) ?? []
  const size = Number(amount) * (sizes[unit.toUpperCase()] ?? Number.NaN)
  return Number.isSafeInteger(size) && size > 0 ? size : undefined
}

export const Bytes = Schema.Union([Schema.String, Schema.Number])
  .check(Schema.makeFilter((raw: string | number) => sizeOf(raw) !== undefined))
  .pipe(
    Schema.decodeTo(Schema.Int, {
      decode: SchemaGetter.transform((raw) => sizeOf(raw) ?? 0),
      encode: SchemaGetter.passthrough({ strict: false })
    }),
    Schema.annotate({ expected: "a size in bytes, or such as 64MB" })
  )

const listOf = (raw: string | ReadonlyArray<string>) =>
  (typeof raw === "string" ? raw.split(",").map((item) => item.trim()) : raw).filter((item) => item !== "")

export const StringList = Schema.Union([Schema.String, Schema.Array(Schema.String)]).pipe(
  Schema.decodeTo(Schema.Array(Schema.String), {
    decode: SchemaGetter.transform(listOf),
    encode: SchemaGetter.passthrough({ strict: false })
  }),
  Schema.annotate({ expected: "a list of texts" })
)

/** What a setting expects, for the sentence of an error. */
export const expectedOf = (schema: Schema.Constraint) =>
  Option.getOrElse(
    Option.liftPredicate(Schema.resolveAnnotations(schema)?.["expected"], Predicate.isString),
    () => "another value"
  )
