import {
  anyText,
  choice,
  complement,
  empty,
  isNullable,
  never,
  type Pattern,
  type Ranges,
  repeat,
  sequence,
  setOf
} from "./textPattern.ts"

/** The grammar cannot enforce a regular expression; the message is a sentence without its subject. */
export class PatternRefused extends Error {}

const maxLength = 2048
const maxDepth = 64
const maxAlternatives = 256

const digits: Ranges = [[0x30, 0x39]]
const wordCharacters: Ranges = [[0x41, 0x5a], [0x61, 0x7a], [0x5f, 0x5f], ...digits]
const lineEnds: Ranges = [
  [0x0a, 0x0a],
  [0x0d, 0x0d],
  [0x2028, 0x2029]
]
const spaces: Ranges = [
  [0x09, 0x0d],
  [0x20, 0x20],
  [0xa0, 0xa0],
  [0x1680, 0x1680],
  [0x2000, 0x200a],
  [0x2028, 0x2029],
  [0x202f, 0x202f],
  [0x205f, 0x205f],
  [0x3000, 0x3000],
  [0xfeff, 0xfeff]
]

const classes: { readonly [letter: string]: Ranges } = {
  d: digits,
  D: complement(digits),
  w: wordCharacters,
  W: complement(wordCharacters),
  s: spaces,
  S: complement(spaces)
}

const controls: { readonly [letter: string]: number } = { t: 9, n: 10, v: 11, f: 12, r: 13, "0": 0 }

const one = (code: number): Ranges => [[code, code]]

/** Parses an expression that JavaScript accepted. */
class Reader {
  readonly #source: string
  #at = 0
  #depth = 0

  constructor(source: string) {
    this.#source = source
  }

  choice(): Pattern {
    if (++this.#depth > maxDepth) throw new PatternRefused(`has groups more than ${maxDepth} levels deep`)
    const parts = [this.#sequence()]
    while (this.#skip("|")) parts.push(this.#sequence())
    this.#depth--
    return choice(parts)
  }

  #sequence() {
    const parts: Array<Pattern> = []
    while (this.#at < this.#source.length && !/[|)]/.test(this.#source.charAt(this.#at))) {
      parts.push(this.#quantified(this.#atom()))
    }
    return sequence(parts)
  }

  #skip(text: string) {
    if (!this.#source.startsWith(text, this.#at)) return false
    this.#at += text.length
    return true
  }

  #match(pattern: RegExp) {
    pattern.lastIndex = this.#at
    const match = pattern.exec(this.#source)
    if (match !== null) this.#at += match[0].length
    return match
  }

  #quantified(part: Pattern) {
    const match = this.#match(/(?:([*+?])|\{(\d+)(?:(,)(\d*))?\})\??/y)
    if (match === null) return part
    const { 1: sign, 2: from = "", 3: comma, 4: to = "" } = match
    if (sign !== undefined) {
      return repeat(part, sign === "+" ? 1 : 0, sign === "?" ? 1 : Number.POSITIVE_INFINITY)
    }
    const min = Number(from)
    return repeat(part, min, comma === undefined ? min : to === "" ? Number.POSITIVE_INFINITY : Number(to))
  }

  #character() {
    const code = this.#source.codePointAt(this.#at) ?? 0
    this.#at += code > 0xffff ? 2 : 1
    return code
  }

  #atom(): Pattern {
    if (this.#skip("(")) return this.#group()
    if (this.#skip("[")) return this.#class()
    if (this.#skip("^")) return { kind: "start", key: "^" }
    if (this.#skip("$")) return { kind: "end", key: "$" }
    if (this.#skip(".")) return setOf(complement(lineEnds))
    if (this.#skip("\\")) {
      if (/[bB]/.test(this.#source.charAt(this.#at)))
        throw new PatternRefused(String.raw`has a word boundary, \b`)
      return setOf(this.#escape())
    }
    return setOf(one(this.#character()))
  }

  #group() {
    if (this.#match(/\?<?[=!]/y) !== null) throw new PatternRefused("looks ahead or behind")
    if (this.#match(/\?(?::|<[^>]*>)/y) === null && this.#skip("?")) {
      throw new PatternRefused("has flags inside of a group")
    }
    const inside = this.choice()
    this.#skip(")")
    return inside
  }

  #class() {
    const isNegated = this.#skip("^")
    const ranges: Array<readonly [number, number]> = []
    while (!this.#skip("]")) {
      const from = this.#member()
      const end = this.#at
      const [first] = from
      if (
        first !== undefined &&
        from.length === 1 &&
        first[0] === first[1] &&
        this.#match(/-(?!\])/y) !== null
      ) {
        const to = this.#member()
        const [last] = to
        if (last !== undefined && to.length === 1 && last[0] === last[1]) {
          ranges.push([first[0], last[0]])
          continue
        }
        this.#at = end
      }
      ranges.push(...from)
    }
    return setOf(isNegated ? complement(ranges) : ranges)
  }

  #member(): Ranges {
    if (!this.#skip("\\")) return one(this.#character())
    return this.#skip("b") ? one(8) : this.#escape()
  }

  #escape(): Ranges {
    const hex = this.#match(
      /x([\da-f]{2})|u\{([\da-f]+)\}|u(d[89ab][\da-f]{2})\\u(d[c-f][\da-f]{2})|u([\da-f]{4})/iy
    )
    if (hex !== null) {
      const { 1: byte, 2: braced, 3: high, 4: low, 5: unit } = hex
      return one(
        high !== undefined && low !== undefined
          ? (Number.parseInt(high, 16) - 0xd800) * 0x400 + Number.parseInt(low, 16) - 0xdc00 + 0x10000
          : Number.parseInt(byte ?? braced ?? unit ?? "", 16)
      )
    }
    const control = this.#match(/c([a-z])/iy)
    if (control !== null) return one((control[1] ?? "").charCodeAt(0) % 32)
    if (this.#match(/[1-9]|k</y) !== null) throw new PatternRefused("refers back to a group")
    if (this.#match(/p\{/iy) !== null) throw new PatternRefused(String.raw`has a Unicode property, \p`)
    const code = this.#character()
    const letter = String.fromCodePoint(code)
    if (Object.hasOwn(classes, letter)) return classes[letter] ?? []
    return one(Object.hasOwn(controls, letter) ? (controls[letter] ?? 0) : code)
  }
}

/** One alternative of an expression, and whether it is anchored to the start or end of the text. */
interface Anchored {
  readonly atStart: boolean
  readonly atEnd: boolean
  readonly inside: Pattern
}

const loose = (inside: Pattern): Anchored => ({ atStart: false, atEnd: false, inside })

// No character can precede the start of a text or follow its end.
const joined = (left: Anchored, right: Anchored): ReadonlyArray<Anchored> => {
  const isOver = (right.atStart && !isNullable(left.inside)) || (left.atEnd && !isNullable(right.inside))
  if (isOver) return []
  const before = right.atStart ? empty : left.inside
  const after = left.atEnd ? empty : right.inside
  return [
    {
      atStart: left.atStart || right.atStart,
      atEnd: left.atEnd || right.atEnd,
      inside: sequence([before, after])
    }
  ]
}

const anchored = (pattern: Pattern): ReadonlyArray<Anchored> => {
  switch (pattern.kind) {
    case "set":
      return [loose(pattern)]
    case "start":
      return [{ atStart: true, atEnd: false, inside: empty }]
    case "end":
      return [{ atStart: false, atEnd: true, inside: empty }]
    case "choice": {
      if (!/[$^]/.test(pattern.key)) return [loose(pattern)]
      return bounded(pattern.parts.flatMap(anchored))
    }
    case "sequence":
      return pattern.parts
        .map(anchored)
        .reduce<ReadonlyArray<Anchored>>(
          (lefts, rights) => bounded(lefts.flatMap((left) => rights.flatMap((right) => joined(left, right)))),
          [loose(empty)]
        )
    case "repeat": {
      if (!/[$^]/.test(pattern.key)) return [loose(pattern)]
      if (pattern.max !== 1) throw new PatternRefused("repeats the start or the end of the text")
      return [loose(empty), ...anchored(pattern.part)]
    }
  }
}

const bounded = (alternatives: ReadonlyArray<Anchored>) => {
  if (alternatives.length > maxAlternatives) throw new PatternRefused("has '^' and '$' in too many places")
  return alternatives
}

const check = (source: string) => {
  if (source.length > maxLength) throw new PatternRefused(`is longer than ${maxLength} characters`)
  try {
    return new RegExp(source, "u")
  } catch {
    try {
      // An expression that is invalid with the flag `u`, such as one with a needless '\\', may be valid without it.
      return new RegExp(source)
    } catch (cause) {
      throw new PatternRefused(`is not a regular expression: ${cause instanceof Error ? cause.message : ""}`)
    }
  }
}

/**
 * The texts in which a JavaScript regular expression finds a match. Throws PatternRefused for features that a grammar cannot
 * enforce: look-around, back-references, word boundaries, Unicode properties.
 */
export const regExpPattern = (source: string): Pattern => {
  check(source)
  const texts = choice(
    anchored(new Reader(source).choice()).map(({ atEnd, atStart, inside }) =>
      sequence([atStart ? empty : anyText, inside, atEnd ? empty : anyText])
    )
  )
  if (texts === never) throw new PatternRefused("fits no text")
  return texts
}
