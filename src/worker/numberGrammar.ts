import { anyOf } from "./gbnf.ts"
import { refusal, type SchemaNode, Unheld } from "./schemaKeywords.ts"

/** The minimum or maximum of a number; an exclusive bound is not itself allowed. */
interface Bound {
  readonly value: number
  readonly isExclusive: boolean
}

const scale = 15
const scaled = 10n ** 15n
// Integers up to this size are exact in a double; the grammar allows no larger number.
const limit = 1e15
const maxDecimals = 6

/** The bounds that OpenAPI's number formats imply. */
const ranges: { readonly [format: string]: readonly [number, number] } = {
  int8: [-(2 ** 7), 2 ** 7 - 1],
  int16: [-(2 ** 15), 2 ** 15 - 1],
  int32: [-(2 ** 31), 2 ** 31 - 1],
  uint8: [0, 2 ** 8 - 1],
  uint16: [0, 2 ** 16 - 1],
  uint32: [0, 2 ** 32 - 1],
  uint64: [0, limit]
}

// A bound in units of 10^-15; undefined for a number with more decimals.
const unitsOf = (value: number) => {
  const match = /^(-?)(\d+)(?:\.(\d{1,15}))?$/.exec(value.toString())
  if (match === null) return undefined
  const { 1: sign = "", 2: integer = "", 3: decimals = "" } = match
  const units = BigInt(integer + decimals.padEnd(scale, "0"))
  return sign === "" ? units : -units
}

const floorOf = (units: bigint, unit: bigint) => {
  const quotient = units / unit
  return quotient * unit > units ? quotient - 1n : quotient
}

const textOf = (value: bigint, decimals: number) => {
  const digits = value.toString().padStart(decimals + 1, "0")
  return decimals === 0 ? digits : `${digits.slice(0, -decimals)}.${digits.slice(-decimals)}`
}

const anyDigits = (text: string) =>
  text.replaceAll(/\d+/g, ({ length }) => ` [0-9]{${length}}`).replace(".", ` "."`)

/** Digit strings of one form between two bounds of that form; an undefined bound does not restrict its side. */
const digitsBetween = (lower: string | undefined, upper: string | undefined, form: string): string => {
  if (form === "") return ""
  const from = lower !== undefined && /^[0.]+$/.test(lower) ? undefined : lower
  const to = upper !== undefined && /^[9.]+$/.test(upper) ? undefined : upper
  if (from === undefined && to === undefined) return anyDigits(form)
  const rest = form.slice(1)
  const [first = "", last = ""] = [from?.[0] ?? "0", to?.[0] ?? "9"]
  if (form.startsWith(".")) return ` "."${digitsBetween(from?.slice(1), to?.slice(1), rest)}`
  if (first === last) return ` "${first}"${digitsBetween(from?.slice(1), to?.slice(1), rest)}`
  const low = from === undefined ? Number(first) : Number(first) + 1
  const high = to === undefined ? Number(last) : Number(last) - 1
  const ways = [
    ...(from === undefined ? [] : [` "${first}"${digitsBetween(from.slice(1), undefined, rest)}`]),
    ...(low > high ? [] : [` [${low}-${high}]${anyDigits(rest)}`]),
    ...(to === undefined ? [] : [` "${last}"${digitsBetween(undefined, to.slice(1), rest)}`])
  ]
  return ` (${ways.join(" |")} )`
}

/** The non-negative numbers with exactly `decimals` decimals between two bounds, in units of the last decimal. */
const magnitudes = (from: bigint, to: bigint, decimals: number) => {
  const ways: Array<string> = []
  for (let size = decimals + 1; 10n ** BigInt(size - 1) <= to || size === decimals + 1; size++) {
    const lower = size === decimals + 1 ? 0n : 10n ** BigInt(size - 1)
    const upper = 10n ** BigInt(size) - 1n
    const low = from > lower ? from : lower
    const high = to < upper ? to : upper
    if (low > high) continue
    const text = textOf(low, decimals)
    ways.push(digitsBetween(text, textOf(high, decimals), text).trim())
  }
  return ways
}

/** The numbers between two bounds with at upper the given number of decimals; undefined when there are none. */
const numbersBetween = (min: Bound, max: Bound, decimals: number): ReadonlyArray<string> | undefined => {
  const from = unitsOf(min.value)
  const to = unitsOf(max.value)
  if (from === undefined || to === undefined) return undefined
  const ways: Array<string> = []
  for (let places = 0; places <= decimals; places++) {
    const unit = scaled / 10n ** BigInt(places)
    const floor = floorOf(from, unit)
    const low = min.isExclusive || floor * unit < from ? floor + 1n : floor
    const ceiling = -floorOf(-to, unit)
    const high = max.isExclusive || ceiling * unit > to ? ceiling - 1n : ceiling
    if (low > high) continue
    if (high >= 0n) ways.push(...magnitudes(low > 0n ? low : 0n, high, places))
    if (low < 0n) {
      const negative = magnitudes(high < 0n ? -high : 1n, -low, places)
      ways.push(...negative.map((way) => `"-" ${way}`))
    }
  }
  return ways
}

const numberOf = (node: SchemaNode, keyword: string) => {
  const value = node[keyword]
  if (value === undefined || (typeof value === "number" && Number.isFinite(value))) return value
  throw refusal(`'${keyword}' must be a number`)
}

/** The stricter of several bounds of one side. */
const boundOf = (node: SchemaNode, side: "minimum" | "maximum", format: number | undefined): Bound => {
  const sign = side === "minimum" ? 1 : -1
  const exclusive = numberOf(node, side === "minimum" ? "exclusiveMinimum" : "exclusiveMaximum")
  const bounds = [numberOf(node, side), format, -sign * limit].flatMap((value) =>
    value === undefined ? [] : [{ value, isExclusive: false }]
  )
  if (exclusive !== undefined) bounds.unshift({ value: exclusive, isExclusive: true })
  return bounds.reduce((narrow, bound) => (sign * bound.value > sign * narrow.value ? bound : narrow))
}

const decimalsOf = (node: SchemaNode, isInteger: boolean) => {
  const step = numberOf(node, "multipleOf")
  if (step === undefined) return isInteger ? 0 : maxDecimals
  const places = Array.from({ length: maxDecimals + 1 }, (_, power) => power).find(
    (power) => Number(`1e-${power}`) === step
  )
  if (places === undefined) throw new Unheld("multipleOf", ` ${step}, which is not 1, 0.1, 0.01 and so on`)
  return isInteger ? 0 : places
}

/** A number within the bounds of a schema. Throws Unheld for bounds or steps that the grammar cannot enforce. */
export const numberRule = (node: SchemaNode, isInteger: boolean) => {
  const { format } = node
  const range = typeof format === "string" && Object.hasOwn(ranges, format) ? ranges[format] : undefined
  const min = boundOf(node, "minimum", range?.[0])
  const max = boundOf(node, "maximum", range?.[1])
  const decimals = decimalsOf(node, isInteger)
  if (max.value === limit && (isInteger || node["multipleOf"] === undefined) && !min.isExclusive) {
    if (min.value === -limit) return isInteger ? "integer" : "number"
    if (min.value === 0) return isInteger ? "natural" : "decimal"
  }
  const ways = numbersBetween(min, max, decimals)
  if (ways === undefined) throw new Unheld("minimum", " and 'maximum' with more than 15 decimals")
  if (ways.length === 0)
    throw new Unheld("minimum", ` and 'maximum', which allow no number with ${decimals} decimals`)
  return anyOf(ways)
}
