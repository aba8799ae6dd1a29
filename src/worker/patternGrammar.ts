import { anyOf } from "./gbnf.ts"
import { PatternRefused } from "./regExpPattern.ts"
import {
  beginnings,
  empty,
  isNullable,
  lengthsOf,
  never,
  type Pattern,
  type Ranges,
  repeat,
  sequence,
  without,
  withoutEmpty
} from "./textPattern.ts"

/** Adds a rule and returns its name. */
export type AddRule = (body: string) => string

const maxRepeats = 1000
const maxStates = 4000
const maxSize = 200_000
const maxExpanded = 20_000

/** The characters that JSON escapes. */
const escaped: Ranges = [
  [0, 0x1f],
  [0x22, 0x22],
  [0x5c, 0x5c]
]

const has = (ranges: Ranges, code: number) => ranges.some(([from, to]) => from <= code && code <= to)

const hex = (code: number) => `\\U${code.toString(16).padStart(8, "0")}`

/** Writes grammar rules for patterns of JSON string contents, as JSON encodes them. Each rule is added once. */
export class PatternGrammar {
  readonly #add: AddRule
  readonly #rules = new Map<string, string>()
  #states = 0
  #size = 0

  constructor(add: AddRule) {
    this.#add = add
  }

  /**
   * The texts of the pattern with `min` to `max` code points. Throws PatternRefused when there are none, or when counting
   * requires too many rules.
   */
  between(pattern: Pattern, min: number, max: number): string {
    if (expandedSize(pattern) > maxExpanded) throw new PatternRefused("repeats repetitions too often")
    const rule = this.#counted(pattern, min, max)
    if (rule === undefined) throw new PatternRefused("has no text of that length")
    return rule
  }

  #rule(key: string, make: () => string) {
    const known = this.#rules.get(key)
    if (known !== undefined) return known
    const body = make()
    this.#size += body.length
    if (this.#size > maxSize) throw new PatternRefused("makes too large a grammar; simplify it")
    const name = this.#add(body)
    this.#rules.set(key, name)
    return name
  }

  #text(pattern: Pattern): string {
    switch (pattern.kind) {
      case "set":
        return this.#rule(pattern.key, () => character(pattern.ranges))
      case "sequence":
        return pattern === empty ? `""` : pattern.parts.map((part) => this.#text(part)).join(" ")
      case "choice":
        return anyOf(pattern.parts.map((part) => this.#text(part)))
      case "repeat":
        return this.#repeat(pattern)
      case "start":
      case "end":
        return `""`
    }
  }

  // The engine rejects a repetition of an expression that may be empty.
  #repeat({ max, min, part }: Extract<Pattern, { readonly kind: "repeat" }>) {
    const mayBeEmpty = isNullable(part)
    const repeated = mayBeEmpty ? withoutEmpty(part) : part
    const least = mayBeEmpty ? 0 : min
    if (least > maxRepeats) throw new PatternRefused(`repeats more than ${maxRepeats} times`)
    if (repeated === never) return `""`
    const rule = this.#rule(repeated.key, () => this.#text(repeated))
    return `${rule}{${least},${max === Number.POSITIVE_INFINITY ? "" : Math.min(max, maxRepeats)}}`
  }

  /** A rule, or undefined when no text has such a length. */
  #counted(pattern: Pattern, min: number, max: number): string | undefined {
    const [least, most] = lengthsOf(pattern)
    if (pattern === never || least > max || most < min) return undefined
    if (min <= least && most <= max) return this.#rule(pattern.key, () => this.#text(pattern))
    const single = withBounds(pattern, min, max)
    if (single !== undefined) return this.#rule(single.key, () => this.#text(single))
    const key = `${pattern.key}#${min}-${max}`
    const known = this.#rules.get(key)
    if (known !== undefined) return known
    if (++this.#states > maxStates) {
      throw new PatternRefused(
        "cannot be held together with this 'minLength' and 'maxLength'; leave one of them out"
      )
    }
    const bodies = beginnings(pattern).flatMap(({ first, rest }) => {
      const rule = max === 0 ? undefined : this.#counted(rest, Math.max(0, min - 1), max - 1)
      return rule === undefined ? [] : [`${this.#text(first)} ${rule}`]
    })
    if (min === 0 && isNullable(pattern)) bodies.push(`""`)
    return bodies.length === 0 ? undefined : this.#rule(key, () => bodies.join(" | "))
  }
}

/** The size of the pattern in characters after its repetitions are expanded, as the engine does. */
const expandedSize = (pattern: Pattern): number => {
  switch (pattern.kind) {
    case "sequence":
    case "choice":
      return pattern.parts.reduce((sum, part) => sum + expandedSize(part), 0)
    case "repeat": {
      const times = pattern.max === Number.POSITIVE_INFINITY ? Math.max(1, pattern.min) : pattern.max
      return expandedSize(pattern.part) * Math.min(times, maxRepeats)
    }
    case "set":
    case "start":
    case "end":
      return 1
  }
}

/** The pattern with the bounds applied to its only part of variable length; undefined when it has more of them. */
const withBounds = (pattern: Pattern, min: number, max: number) => {
  const parts = pattern.kind === "sequence" ? pattern.parts : [pattern]
  const lengths = parts.map(lengthsOf)
  const open = lengths.findIndex(([least, most]) => least !== most)
  const part = parts[open]
  if (part?.kind !== "repeat" || part.part.kind !== "set") return undefined
  if (lengths.findLastIndex(([least, most]) => least !== most) !== open) return undefined
  const others = lengths.reduce((sum, [least], index) => (index === open ? sum : sum + least), 0)
  const bounds = [Math.max(part.min, min - others), Math.min(part.max, max - others)] as const
  return bounds[0] > bounds[1]
    ? undefined
    : sequence(parts.map((each, index) => (index === open ? repeat(part.part, ...bounds) : each)))
}

/** One character of the set, as JSON encodes it. */
const character = (ranges: Ranges) => {
  const plain = without(ranges, escaped)
  const written = plain.map(([from, to]) => (from === to ? hex(from) : `${hex(from)}-${hex(to)}`)).join("")
  const codes = Array.from({ length: 0x5d }, (_, code) => code)
  const escapes = codes
    .filter((code) => has(escaped, code) && has(ranges, code))
    .map((code) => `"${JSON.stringify(String.fromCharCode(code)).slice(1, -1).replace(/["\\]/g, "\\$&")}"`)
  return [...(written === "" ? [] : [`[${written}]`]), ...escapes].join(" | ")
}
