import * as Predicate from "effect/Predicate"
import { BadRequest } from "./errors.ts"

/** A JSON schema of object form. */
export type SchemaNode = { readonly [keyword: string]: unknown }

// Annotations: they do not restrict values.
const annotations = new Set([
  ..."$schema $id $comment $anchor $defs definitions title description default example examples".split(" "),
  ..."deprecated readOnly writeOnly contentEncoding contentMediaType contentSchema externalDocs xml discriminator".split(
    " "
  )
])

/** The keywords that restrict the values of one type only. */
const keywords: { readonly [type: string]: ReadonlyArray<string> } = {
  object:
    "properties required additionalProperties minProperties maxProperties patternProperties propertyNames dependentRequired dependentSchemas dependencies unevaluatedProperties".split(
      " "
    ),
  array:
    "items prefixItems additionalItems minItems maxItems uniqueItems contains minContains maxContains unevaluatedItems".split(
      " "
    ),
  string: ["minLength", "maxLength", "pattern"],
  number: ["minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf"],
  integer: ["minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf"],
  boolean: [],
  null: []
}

const honoured = new Set(
  "properties required additionalProperties minProperties maxProperties items prefixItems additionalItems minItems maxItems uniqueItems minLength maxLength pattern minimum maximum exclusiveMinimum exclusiveMaximum multipleOf format".split(
    " "
  )
)

const ofOneType = new Set(Object.values(keywords).flat())

/** The error of an invalid or unsupported schema. */
export const refusal = (reason: string) =>
  new BadRequest({ reason: `'response_format': ${reason}`, param: "response_format", code: "invalid_value" })

/** The error of a keyword that the engine cannot enforce; `because` adds the reason. */
export class Unheld extends Error {
  constructor(keyword: string, because = "") {
    super(
      `the built-in engine cannot guarantee '${keyword.slice(0, 64)}'${because}; leave it out, or set 'strict' to false`
    )
  }
}

/** The types of a node: the named ones, else the first type that its keywords restrict. */
export const typesOf = (node: SchemaNode): ReadonlyArray<unknown> => {
  const { type } = node
  if (Array.isArray(type) && type.length > 0) return type
  if (type !== undefined) return [type]
  const implied = Object.keys(keywords).find((name) =>
    keywords[name]?.some((keyword) => node[keyword] !== undefined)
  )
  return [implied ?? (node["format"] === undefined ? undefined : "string")]
}

/** The first keyword that restricts values of these types and that the grammar cannot enforce. */
export const unheldKeyword = (
  node: SchemaNode,
  held: ReadonlyArray<string>,
  types: ReadonlyArray<unknown> = []
) =>
  Object.keys(node).find((keyword) => {
    if (annotations.has(keyword) || keyword.startsWith("x-") || held.includes(keyword)) return false
    if (keyword === "nullable" && node[keyword] === false) return false
    if (keyword === "uniqueItems" && node[keyword] === false) return false
    if (types.length === 0) return true
    if (!ofOneType.has(keyword)) return !honoured.has(keyword)
    const applies = types.some(
      (type) => typeof type === "string" && keywords[type]?.includes(keyword) === true
    )
    return applies && (!honoured.has(keyword) || keyword === "uniqueItems")
  })

/** Whether a value has one of the types; without types every value does. */
export const hasType = (value: unknown, types: ReadonlyArray<unknown>) =>
  types.some((type) => {
    switch (type) {
      case undefined:
        return true
      case "null":
        return value === null
      case "array":
        return Array.isArray(value)
      case "object":
        return Predicate.isReadonlyObject(value)
      case "integer":
        return Number.isInteger(value)
      default:
        return typeof value === type
    }
  })
