/** Ranges of code points, sorted and disjoint. */
export type Ranges = ReadonlyArray<readonly [number, number]>

/** A set of texts. An empty sequence is the empty text; an empty choice contains no text. */
export type Pattern =
  | { readonly kind: "set"; readonly ranges: Ranges; readonly key: string }
  | { readonly kind: "sequence"; readonly parts: ReadonlyArray<Pattern>; readonly key: string }
  | { readonly kind: "choice"; readonly parts: ReadonlyArray<Pattern>; readonly key: string }
  | {
      readonly kind: "repeat"
      readonly part: Pattern
      readonly min: number
      readonly max: number
      readonly key: string
    }
  | { readonly kind: "start" | "end"; readonly key: string }

const maxCodePoint = 0x10ffff
const surrogates = [0xd800, 0xdfff] as const

const merged = (ranges: Ranges): Ranges => {
  const result: Array<readonly [number, number]> = []
  for (const [from, to] of ranges.toSorted(([left], [right]) => left - right)) {
    const last = result.at(-1)
    if (last !== undefined && from <= last[1] + 1)
      result[result.length - 1] = [last[0], Math.max(last[1], to)]
    else result.push([from, to])
  }
  return result
}

/** The code points that are not in the ranges. */
export const complement = (ranges: Ranges): Ranges => {
  const result: Array<readonly [number, number]> = []
  let next = 0
  for (const [from, to] of merged(ranges)) {
    if (from > next) result.push([next, from - 1])
    next = to + 1
  }
  if (next <= maxCodePoint) result.push([next, maxCodePoint])
  return result
}

/** The code points of the first ranges that are not in the second. */
export const without = (ranges: Ranges, others: Ranges) => complement([...complement(ranges), ...others])

/** One code point of a set, without lone surrogates, which are not characters. */
export const setOf = (ranges: Ranges): Pattern => {
  const own = without(ranges, [surrogates])
  if (own.length === 0) return never
  return { kind: "set", ranges: own, key: `[${own.map(([from, to]) => `${from}-${to}`).join(",")}]` }
}

/** A sequence of patterns. */
export const sequence = (parts: ReadonlyArray<Pattern>): Pattern => {
  const flat = parts.flatMap((part) => (part.kind === "sequence" ? part.parts : [part]))
  if (flat.some((part) => part === never)) return never
  const [only] = flat
  if (only === undefined) return empty
  if (flat.length === 1) return only
  return { kind: "sequence", parts: flat, key: `(${flat.map(({ key }) => key).join("")})` }
}

/** A choice of patterns. */
export const choice = (parts: ReadonlyArray<Pattern>): Pattern => {
  const flat = parts.flatMap((part) => (part.kind === "choice" ? part.parts : [part]))
  const unique = [...new Map(flat.map((part) => [part.key, part])).values()]
  const [only] = unique
  if (only === undefined) return never
  if (unique.length === 1) return only
  return { kind: "choice", parts: unique, key: `(${unique.map(({ key }) => key).join("|")})` }
}

/** A repetition; `max` may be infinite. */
export const repeat = (part: Pattern, min: number, max: number): Pattern => {
  if (max === 0 || part === empty) return empty
  if (part === never) return min === 0 ? empty : never
  if (min === 1 && max === 1) return part
  return { kind: "repeat", part, min, max, key: `${part.key}{${min},${max}}` }
}

/** The empty set of texts. */
export const never: Pattern = { kind: "choice", parts: [], key: "!" }

/** The empty text. */
export const empty: Pattern = { kind: "sequence", parts: [], key: "()" }

/** Any text. */
export const anyText = repeat(setOf([[0, maxCodePoint]]), 0, Number.POSITIVE_INFINITY)

/** Whether the pattern contains the empty text. */
export const isNullable = (pattern: Pattern): boolean => {
  switch (pattern.kind) {
    case "set":
      return false
    case "sequence":
      return pattern.parts.every(isNullable)
    case "choice":
      return pattern.parts.some(isNullable)
    case "repeat":
      return pattern.min === 0 || isNullable(pattern.part)
    case "start":
    case "end":
      return true
  }
}

/** The minimum and maximum number of code points in a text of the pattern. */
export const lengthsOf = (pattern: Pattern): readonly [number, number] => {
  switch (pattern.kind) {
    case "set":
      return [1, 1]
    case "sequence": {
      const lengths = pattern.parts.map(lengthsOf)
      return [
        lengths.reduce((sum, [least]) => sum + least, 0),
        lengths.reduce((sum, [, most]) => sum + most, 0)
      ]
    }
    case "choice": {
      const lengths = pattern.parts.map(lengthsOf)
      return [Math.min(...lengths.map(([least]) => least)), Math.max(...lengths.map(([, most]) => most))]
    }
    case "repeat": {
      const [least, most] = lengthsOf(pattern.part)
      return [least * pattern.min, most === 0 ? 0 : most * pattern.max]
    }
    case "start":
    case "end":
      return [0, 0]
  }
}

/** The texts of the pattern without the empty one. */
export const withoutEmpty = (pattern: Pattern): Pattern => {
  switch (pattern.kind) {
    case "set":
      return pattern
    case "sequence": {
      const [first, ...rest] = pattern.parts
      if (first === undefined) return never
      const others = sequence(rest)
      const begun = sequence([withoutEmpty(first), others])
      return isNullable(first) ? choice([begun, withoutEmpty(others)]) : begun
    }
    case "choice":
      return choice(pattern.parts.map(withoutEmpty))
    case "repeat":
      return isNullable(pattern.part)
        ? repeat(withoutEmpty(pattern.part), 1, pattern.max)
        : repeat(pattern.part, Math.max(1, pattern.min), pattern.max)
    case "start":
    case "end":
      return never
  }
}

/** Every possible start of a text: a set for its first code point, and the pattern of the rest. */
export const beginnings = (
  pattern: Pattern
): ReadonlyArray<{ readonly first: Pattern; readonly rest: Pattern }> => {
  switch (pattern.kind) {
    case "set":
      return [{ first: pattern, rest: empty }]
    case "sequence": {
      const [head, ...tail] = pattern.parts
      if (head === undefined) return []
      const others = sequence(tail)
      const begun = beginnings(head).map(({ first, rest }) => ({ first, rest: sequence([rest, others]) }))
      return isNullable(head) ? [...begun, ...beginnings(others)] : begun
    }
    case "choice":
      return pattern.parts.flatMap(beginnings)
    case "repeat": {
      const { max, min, part } = pattern
      const others = repeat(part, isNullable(part) ? 0 : Math.max(0, min - 1), max - 1)
      return beginnings(part).map(({ first, rest }) => ({ first, rest: sequence([rest, others]) }))
    }
    case "start":
    case "end":
      return []
  }
}
