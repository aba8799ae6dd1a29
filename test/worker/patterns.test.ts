import { assert, describe, it } from "@effect/vitest"
import { jsonGrammar } from "../../src/worker/JsonGrammar.ts"

/** The grammar of a schema without recursion as one expression of JavaScript, with each rule in its place. */
const toRegExp = (grammar: string) => {
  const rules = new Map(
    grammar.split("\n").map((line) => {
      const [name = "", body = ""] = line.split(/ ::= (.*)/s)
      return [name, body] as const
    })
  )
  const inlined = (name: string): string => {
    const tokens = /"((?:[^"\\]|\\.)*)"|(\[(?:[^\]\\]|\\.)*\])|([a-z]\w*)|(\{\d*,?\d*\}|[()|*?+])|\s+/gs
    return (rules.get(name) ?? "").replaceAll(tokens, (_, text, set, rule, sign) => {
      if (text !== undefined) return JSON.parse(`"${text}"`).replaceAll(/[^\w ]/gu, escapeOf)
      if (set !== undefined) return set.replaceAll(/\\U0*([\da-f]+)/g, String.raw`\u{$1}`)
      if (rule !== undefined) return `(?:${inlined(rule)})`
      return sign === "(" ? "(?:" : (sign ?? "")
    })
  }
  return new RegExp(`^(?:${inlined("root")})$`, "u")
}

const escapeOf = (character: string) => String.raw`\u{${character.codePointAt(0)?.toString(16)}}`

const textsOf = (alphabet: string, longest: number) => {
  const texts = [""]
  let last = [""]
  for (let length = 1; length <= longest; length++) {
    last = last.flatMap((text) => Array.from(alphabet, (character) => text + character))
    texts.push(...last)
  }
  return texts
}

const failureOf = (schema: object) => {
  try {
    jsonGrammar(schema, true)
    return "none"
  } catch (cause) {
    return cause instanceof Error ? cause.message : ""
  }
}

describe("the grammar of a pattern", () => {
  const cases: ReadonlyArray<readonly [pattern: string, alphabet: string, longest: number]> = [
    ["^a", "ab", 4],
    ["a", "ab\n", 4],
    ["a$", "ab", 4],
    ["^(?:a|b)+$", "abc", 4],
    ["^$|^ab?$", "ab", 4],
    ["(^a|b$)c?", "abc", 4],
    ["^(a*b?)*$", "abc", 4],
    ["^(aa)*$", "ab", 6],
    [String.raw`^\d\w\s$`, "1_ \t-", 4],
    [String.raw`^\D\W\S$`, "1a \u00a0", 4],
    [String.raw`^[^a\]"-]{1,2}$`, 'ab]"-\\', 3],
    [String.raw`^[a-c-]\x64?\u0065?\u{66}?$`, "ade-f", 4],
    [String.raw`^["\\/\n]+$`, '"\\/\n\u0001', 3],
    ["^.[.]$", "a.\n\u2028", 3],
    [String.raw`^(?<x>a{2}|b{1,}?)c{0,1}$`, "abc", 5],
    ["^🐝[🐝-🐟]?$", "🐝🐞a", 3],
    ["^[^]?$", "a\n\0", 2],
    ["^ab{0}$", "ab", 3],
    [String.raw`^\-\/\@$`, "-/@", 3]
  ]
  for (const [pattern, alphabet, longest] of cases) {
    it(`accepts exactly the matches of ${pattern}`, () => {
      const expected = /[🐝]|u\{/u.test(pattern) ? new RegExp(pattern, "u") : new RegExp(pattern)
      for (const [minLength, maxLength] of [[], [0, 2], [2, undefined], [1, 3]] as const) {
        const texts = textsOf(alphabet, longest)
        const fits = (text: string) => {
          const length = Array.from(text).length
          return expected.test(text) && length >= (minLength ?? 0) && length <= (maxLength ?? longest)
        }
        const schema = { type: "string", pattern, minLength, maxLength }
        if (!texts.some(fits)) {
          assert.include(failureOf(schema), "no text of that length")
          continue
        }
        const grammar = toRegExp(jsonGrammar(schema, true))
        for (const text of texts) {
          assert.strictEqual(
            grammar.test(JSON.stringify(text)),
            fits(text),
            `${text} ${minLength}-${maxLength}`
          )
        }
      }
    })
  }

  it("is rejected with a message for unsupported patterns", () => {
    const wrong = {
      "^(?=a)": "looks ahead",
      "(?<!a)b": "looks ahead or behind",
      [String.raw`(a)\1`]: "refers back",
      [String.raw`(?<x>a)\k<x>`]: "refers back",
      [String.raw`\bx`]: "word boundary",
      [String.raw`^\p{L}$`]: "Unicode property",
      "(?i:a)": "flags",
      "(^a)+": "repeats the start",
      "a^": "fits no text",
      "^[]$": "fits no text",
      "(": "not a regular expression",
      "^a{1001}$": "1000 times",
      "^((a{1,900}){1,900})$": "too often",
      ["a".repeat(3000)]: "longer than"
    }
    for (const [pattern, part] of Object.entries(wrong)) {
      assert.include(failureOf({ type: "string", pattern }), "'pattern'")
      assert.include(failureOf({ type: "string", pattern }), part)
    }
    assert.include(failureOf({ type: "string", pattern: 5 }), "'pattern' must be a string")
    const tooMany = {
      type: "string",
      pattern: "(a.{1,90}b.{1,90}c.{1,90}d)|e.*f",
      minLength: 200,
      maxLength: 900
    }
    assert.include(failureOf(tooMany), "'maxLength'")
  })
})

describe("the grammar of a number", () => {
  const fits = (node: { readonly [keyword: string]: number | string }, value: number) => {
    const { exclusiveMaximum, exclusiveMinimum, maximum, minimum } = node
    return (
      value >= Number(minimum ?? Number.NEGATIVE_INFINITY) &&
      value <= Number(maximum ?? Number.POSITIVE_INFINITY) &&
      value > Number(exclusiveMinimum ?? Number.NEGATIVE_INFINITY) &&
      value < Number(exclusiveMaximum ?? Number.POSITIVE_INFINITY)
    )
  }
  it("accepts numbers within the bounds", () => {
    for (const bounds of [
      { minimum: 3 },
      { maximum: -7 },
      { minimum: -12, maximum: 105 },
      { exclusiveMinimum: 0, maximum: 100 },
      { minimum: 0, exclusiveMaximum: 1 },
      { minimum: 0.5, maximum: 1.25 },
      { exclusiveMinimum: -1.5, exclusiveMaximum: 12, minimum: -3 }
    ]) {
      const real = toRegExp(jsonGrammar({ type: "number", ...bounds }, true))
      const money = toRegExp(jsonGrammar({ type: "number", ...bounds, multipleOf: 0.01 }, true))
      const whole = bounds.maximum === 1.25 ? undefined : { type: "integer", ...bounds }
      const integer =
        whole === undefined || bounds.exclusiveMaximum === 1 ? undefined : toRegExp(jsonGrammar(whole, true))
      for (let hundredths = -2000; hundredths <= 12_000; hundredths += 5) {
        const value = hundredths / 100
        const expected = fits(bounds, value)
        for (const text of [value.toFixed(2), ...(hundredths % 100 === 0 ? [String(value)] : [])]) {
          if (text.startsWith("-0") && value === 0) continue
          assert.strictEqual(real.test(text), expected, text)
          assert.strictEqual(money.test(text), expected, text)
          assert.isFalse(money.test(`${value.toFixed(2)}1`))
          if (integer !== undefined)
            assert.strictEqual(integer.test(text), expected && !text.includes("."), text)
        }
      }
    }
  })

  it("has the range of its format, and accepts any number without bounds", () => {
    const small = toRegExp(jsonGrammar({ type: "integer", format: "int8" }, true))
    assert.deepStrictEqual(
      ["-129", "-128", "0", "127", "128"].map((text) => small.test(text)),
      [false, true, true, true, false]
    )
    assert.isTrue(toRegExp(jsonGrammar({ type: "number" }, true)).test("-12.75"))
    assert.isFalse(toRegExp(jsonGrammar({ type: "number", minimum: 0 }, true)).test("-1"))
  })
})

describe("a schema", () => {
  it("enforces less common keywords", () => {
    const cases: ReadonlyArray<
      readonly [schema: object, fitting: ReadonlyArray<unknown>, others: ReadonlyArray<unknown>]
    > = [
      [
        { prefixItems: [{ type: "boolean" }, { type: "null" }], items: false },
        [[], [true], [false, null]],
        [[null], [true, null, 1], [true, true]]
      ],
      [
        { type: "array", items: [{ type: "null" }], additionalItems: { type: "boolean" }, minItems: 2 },
        [
          [null, true],
          [null, true, false]
        ],
        [[], [null], [null, null]]
      ],
      [
        { prefixItems: [{ type: "null" }], items: { type: "null" }, maxItems: 2 },
        [[], [null], [null, null]],
        [[null, null, null]]
      ],
      [
        { type: "object", additionalProperties: { type: "null" }, minProperties: 1, maxProperties: 2 },
        [{ a: null }, { a: null, b: null }],
        [{}, { a: 1 }, { a: null, b: null, c: null }]
      ],
      [
        { properties: { a: { type: "null" }, b: { type: "null" } }, minProperties: 2 },
        [{ a: null, b: null }],
        [{ a: null }, {}]
      ],
      [
        { properties: { a: { type: "null" }, b: { type: "null" } }, required: ["b"], maxProperties: 1 },
        [{ b: null }],
        [{ a: null, b: null }, {}]
      ],
      [{ type: "string", nullable: true, maxLength: 1 }, ["", "a", null], ["ab", 1]],
      [{ type: "string", enum: ["a", 1, null] }, ["a"], [1, null]],
      [{ type: "string", anyOf: [{ pattern: "^a$" }, { maxLength: 0 }] }, ["a", ""], ["b"]],
      [{ pattern: "^a$", minimum: 3 }, ["a"], ["b", 3]],
      [{ type: "string", format: "ipv4" }, ["10.0.0.255"], ["10.0.0.256", "a"]],
      [{ type: "string", format: "email" }, ["bee@hive.example"], ["bee", "a@b"]],
      [{ type: "string", format: "date", minLength: 10 }, ["2026-02-28"], ["2026-02-30"]],
      [{ type: "string", format: "date-time" }, ["2026-02-28T10:00:00Z"], ["2026-02-28"]],
      [{ allOf: [{ type: "null" }], title: "x", "x-order": 1, examples: [1] }, [null], [1]]
    ]
    for (const [schema, fitting, others] of cases) {
      const grammar = toRegExp(jsonGrammar(schema, true))
      for (const value of fitting)
        assert.isTrue(grammar.test(JSON.stringify(value)), JSON.stringify([schema, value]))
      for (const value of others)
        assert.isFalse(grammar.test(JSON.stringify(value)), JSON.stringify([schema, value]))
    }
  })

  it("is rejected with the unsupported keyword, unless it is not strict", () => {
    const named: ReadonlyArray<readonly [keyword: string, schema: object]> = [
      ["not", { type: "boolean", not: { const: true } }],
      ["if", { type: "boolean", if: {}, else: false }],
      ["allOf", { allOf: [{ type: "string" }, { maxLength: 3 }] }],
      ["multipleOf", { type: "integer", multipleOf: 7 }],
      ["uniqueItems", { type: "array", uniqueItems: true }],
      ["contains", { type: "array", contains: { type: "null" } }],
      ["patternProperties", { type: "object", patternProperties: { "^a": {} } }],
      ["propertyNames", { type: "object", propertyNames: { maxLength: 3 } }],
      ["dependentRequired", { type: "object", dependentRequired: { a: ["b"] } }],
      ["minProperties", { type: "object", minProperties: 2 }],
      ["maxProperties", { properties: { a: {}, b: {}, c: {} }, required: ["a"], maxProperties: 2 }],
      ["format", { type: "string", format: "idn-email" }],
      ["format", { type: "string", format: "date", pattern: "^2" }],
      ["minLength", { enum: ["a"], minLength: 2 }],
      ["minimum", { $ref: "#/$defs/a", minimum: 2, $defs: { a: { type: "integer" } } }],
      ["maxLenght", { type: "string", maxLenght: 3 }]
    ]
    for (const [keyword, schema] of named) {
      assert.include(failureOf(schema), `cannot guarantee '${keyword}'`)
      assert.include(failureOf({ type: "array", items: schema, maxItems: 2 }), `'${keyword}'`)
      assert.isString(jsonGrammar(schema, false))
    }
    assert.strictEqual(failureOf({ type: "array", uniqueItems: false }), "none")
  })
})
