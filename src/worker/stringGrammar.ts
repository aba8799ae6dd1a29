import type { PatternGrammar } from "./patternGrammar.ts"
import { PatternRefused, regExpPattern } from "./regExpPattern.ts"
import { refusal, type SchemaNode, Unheld } from "./schemaKeywords.ts"
import { anyText } from "./textPattern.ts"

const day = String.raw`\d{4}-(?:0[1-9]|1[0-2])-(?:0[1-9]|1\d|2[0-8])`
const time = String.raw`(?:[01]\d|2[0-3]):[0-5]\d:[0-5]\d(?:Z|[+-](?:0\d|1[0-3]):[0-5]\d)`
const byte = String.raw`(?:25[0-5]|2[0-4]\d|1\d\d|[1-9]?\d)`
const label = "[a-z0-9](?:[a-z0-9-]{0,30}[a-z0-9])?"
const host = String.raw`${label}(?:\.${label}){1,3}`
const uri = String.raw`https?://${host}(?:/[A-Za-z0-9._~-]{0,32}){0,8}`

/** The texts of each format, for some formats a common subset. */
const formats: { readonly [format: string]: string } = {
  date: day,
  time,
  "date-time": `${day}T${time}`,
  duration: String.raw`P(?:\d{1,4}D(?:T\d{1,4}[HMS])?|T\d{1,4}[HMS]|\d{1,4}[YMW])`,
  uuid: "[0-9a-f]{8}-[0-9a-f]{4}-[1-8][0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}",
  email: `[A-Za-z0-9_+-]{1,32}(?:[.][A-Za-z0-9_+-]{1,16})?@${host}`,
  hostname: host,
  ipv4: String.raw`${byte}(?:\.${byte}){3}`,
  ipv6: "[0-9a-f]{1,4}(?::[0-9a-f]{1,4}){7}",
  uri,
  url: uri,
  "uri-reference": uri
}

/** Formats that do not restrict texts. */
const loose: ReadonlySet<string> = new Set(["password", "binary", "text"])

const patternOf = (node: SchemaNode) => {
  const { format, pattern } = node
  const form = typeof format === "string" && Object.hasOwn(formats, format) ? formats[format] : undefined
  if (pattern !== undefined && typeof pattern !== "string") throw refusal("'pattern' must be a string")
  if (format === undefined || (typeof format === "string" && loose.has(format))) {
    return { keyword: "pattern", source: pattern }
  }
  if (form === undefined) throw new Unheld("format", ` ${JSON.stringify(format).slice(0, 64)}`)
  if (pattern !== undefined) throw new Unheld("format", " together with 'pattern'")
  return { keyword: "format", source: `^(?:${form})$` }
}

/** The content of a string between its quotes, by pattern or format and length. */
export const stringContent = (
  node: SchemaNode,
  [min, max]: readonly [number, number | undefined],
  grammar: PatternGrammar
) => {
  const { keyword, source } = patternOf(node)
  try {
    const pattern = source === undefined ? anyText : regExpPattern(source)
    return grammar.between(pattern, min, max ?? Number.POSITIVE_INFINITY)
  } catch (cause) {
    if (cause instanceof PatternRefused) throw new Unheld(keyword, `, which ${cause.message}`)
    throw cause
  }
}

/** Whether a schema restricts neither the text nor the length of a string. */
export const isAnyString = (node: SchemaNode) =>
  ["format", "pattern", "minLength", "maxLength"].every((keyword) => node[keyword] === undefined)
