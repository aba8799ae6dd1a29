import * as Predicate from "effect/Predicate"
import { anyOf, literal, optionalOf, rules } from "./gbnf.ts"
import { numberRule } from "./numberGrammar.ts"
import { PatternGrammar } from "./patternGrammar.ts"
import { hasType, refusal, type SchemaNode, typesOf, Unheld, unheldKeyword } from "./schemaKeywords.ts"
import { isAnyString, stringContent } from "./stringGrammar.ts"

const maxDepth = 64
const maxRepeats = 1000
const maxSchema = 65_536

/** The translation of one schema: the rules so far, and the rule names of schemas that `$ref` referenced. */
class Translation {
  readonly #root: unknown
  readonly #strict: boolean
  readonly #rules = new Map(Object.entries(rules))
  readonly #refs = new Map<string, string>()
  readonly #patterns = new PatternGrammar((body) => this.#rule(body))

  constructor(root: unknown, strict: boolean) {
    this.#root = root
    this.#strict = strict
  }

  grammar() {
    const root = this.#value(this.#root, 0)
    return [...this.#rules, ["root", root] as const].map(([name, body]) => `${name} ::= ${body}`).join("\n")
  }

  #rule(body: string, name = `r${this.#rules.size}`) {
    this.#rules.set(name, body)
    return name
  }

  #value(node: unknown, depth: number): string {
    if (depth > maxDepth) throw refusal(`the schema is more than ${maxDepth} levels deep`)
    if (node === true) return "any"
    if (!Predicate.isReadonlyObject(node)) throw refusal("every schema in it must be an object or true")
    if (node["$ref"] !== undefined) {
      this.#hold(node, ["$ref"])
      return this.#reference(node["$ref"], depth)
    }
    for (const keyword of ["const", "enum"])
      if (node[keyword] !== undefined) return this.#values(node, keyword)
    const union = ["anyOf", "oneOf", "allOf"].find((keyword) => node[keyword] !== undefined)
    return union === undefined ? this.#typed(node, depth) : this.#union(node, union, depth)
  }

  #values(node: SchemaNode, keyword: string) {
    this.#hold(node, [keyword, "type"])
    const types = node["type"] === undefined ? [undefined] : typesOf(node)
    const values = keyword === "const" ? [node["const"]] : this.#list(node, "enum")
    const fitting = values.filter((value) => hasType(value, types))
    if (fitting.length === 0)
      throw refusal(`'${keyword}' has no value of the type ${JSON.stringify(node["type"])}`)
    return anyOf(fitting.map(literal))
  }

  // The grammar can enforce `allOf` only with a single schema.
  #union(node: SchemaNode, keyword: string, depth: number) {
    const nodes = this.#list(node, keyword)
    const holds = keyword !== "allOf" || nodes.length === 1
    this.#hold(node, holds ? [keyword, "type"] : [])
    if (!holds) return "any"
    const { type } = node
    const typed = nodes.map((each) =>
      type !== undefined && Predicate.isReadonlyObject(each) ? Object.assign({ type }, each) : each
    )
    return anyOf(typed.map((each) => this.#value(each, depth + 1)))
  }

  #typed(node: SchemaNode, depth: number) {
    const { nullable } = node
    const types = nullable === true ? [...typesOf(node), "null"] : typesOf(node)
    this.#hold(node, ["type", ...(nullable === true ? ["nullable"] : [])], types)
    return anyOf(
      types.map((type) => {
        switch (type) {
          case "object":
            return this.#object(node, depth)
          case "array":
            return this.#array(node, depth)
          case "string":
            return isAnyString(node) ? "string" : String.raw`"\"" ${this.#string(node)} "\""`
          case "integer":
          case "number":
            return this.#heldOr(() => numberRule(node, type === "integer"), type)
          case "boolean":
          case "null":
            return type
          case undefined:
            return "any"
          default:
            throw refusal(`unknown type ${JSON.stringify(type)}`)
        }
      })
    )
  }

  // Backwards, because the rule after a property depends on whether an earlier one was written.
  #object(node: SchemaNode, depth: number) {
    const { additionalProperties: others = true, properties = {}, required = [] } = node
    if (!Predicate.isReadonlyObject(properties)) throw refusal("'properties' must be an object")
    if (!Array.isArray(required)) throw refusal("'required' must be a list")
    const named = new Set([...Object.keys(properties), ...required.map(String)])
    if (named.size === 0) return this.#map(node, others, depth)
    const { names, needed } = this.#propertiesOf(node, named, new Set(required.map(String)))
    let first = `""`
    let later = `""`
    for (const name of names.toReversed()) {
      const schema = Object.hasOwn(properties, name) ? properties[name] : others
      if (schema === false)
        throw refusal(`'required' names '${name.slice(0, 64)}', which the schema does not allow`)
      const pair = this.#rule(`${literal(name)} ":" space ${this.#value(schema, depth + 1)}`)
      const isNeeded = needed.has(name)
      first = this.#rule(`${pair} ${later}${isNeeded ? "" : ` | ${first}`}`)
      later = this.#rule(
        isNeeded ? `"," space ${pair} ${later}` : `${optionalOf(`"," space ${pair}`)} ${later}`
      )
    }
    return `"{" space ${first} space "}"`
  }

  // At the minimum or maximum possible number of properties, the set of properties is fixed.
  #propertiesOf(node: SchemaNode, named: ReadonlySet<string>, needed: ReadonlySet<string>) {
    const min = this.#whole(node, "minProperties") ?? 0
    const max = this.#whole(node, "maxProperties") ?? named.size
    if (min === named.size && max >= min) return { names: [...named], needed: named }
    if (max === needed.size && min <= max) return { names: [...needed], needed }
    if (min > needed.size) this.#unheld("minProperties")
    if (max < named.size) this.#unheld("maxProperties")
    return { names: [...named], needed }
  }

  #map(node: SchemaNode, others: unknown, depth: number) {
    const min = this.#whole(node, "minProperties") ?? 0
    const max = this.#whole(node, "maxProperties")
    // A generated object may repeat a property name, which counts as one property.
    if (min > 1 || (max !== undefined && max < min)) this.#unheld("minProperties")
    if (others === false && min > 0)
      throw refusal("'minProperties' requires properties that the schema does not allow")
    if (others === false || max === 0) return `"{}"`
    if (others === true && min === 0 && max === undefined) return "object"
    const pair = this.#rule(`string ":" space ${this.#value(others, depth + 1)}`)
    const more = max === undefined ? "*" : `{0,${Math.min(max, maxRepeats) - 1}}`
    const pairs = `space ${pair} ( "," space ${pair} )${more} space`
    return `"{" ${min === 0 ? optionalOf(pairs) : pairs} "}"`
  }

  #array(node: SchemaNode, depth: number) {
    const [min, max = Number.POSITIVE_INFINITY] = this.#bounds(node, "minItems", "maxItems")
    const { additionalItems, items, prefixItems } = node
    const isOldTuple = Array.isArray(items)
    const prefix = isOldTuple ? items : prefixItems === undefined ? [] : this.#list(node, "prefixItems")
    const others = (isOldTuple ? additionalItems : items) ?? true
    const own = prefix.slice(0, max).map((each) => this.#rule(this.#value(each, depth + 1)))
    const rest = max - own.length
    const restLeast = Math.max(0, min - own.length)
    if (others === false && restLeast > 0)
      throw refusal("'minItems' requires more items than the schema allows")
    if (own.length === 0 && (rest === 0 || others === false)) return `"[]"`
    let list = `""`
    if (others !== false && rest > 0) {
      const item = this.#rule(this.#value(others, depth + 1))
      const upTo = rest === Number.POSITIVE_INFINITY ? "" : rest
      list =
        own.length > 0
          ? `( "," space ${item} ){${restLeast},${upTo}}`
          : `${item} ( "," space ${item} ){${Math.max(0, restLeast - 1)},${upTo === "" ? "" : upTo - 1}}`
    }
    for (const [index, item] of [...own.entries()].toReversed()) {
      const begun = `${index === 0 ? "" : `"," space `}${item} ${list}`
      list = this.#rule(index > 0 && index >= min ? optionalOf(begun) : begun)
    }
    return `"[" ${min === 0 ? optionalOf(`space ${list} space`) : `space ${list} space`} "]"`
  }

  #string(node: SchemaNode) {
    const bounds = this.#bounds(node, "minLength", "maxLength")
    const loosely = `char{${bounds[0]},${bounds[1] ?? ""}}`
    return this.#heldOr(() => stringContent(node, bounds, this.#patterns), loosely)
  }

  // A schema that is not strict may be enforced in part.
  #heldOr(hold: () => string, loosely: string) {
    try {
      return hold()
    } catch (cause) {
      if (this.#strict || !(cause instanceof Unheld)) throw cause
      return loosely
    }
  }

  #reference(ref: unknown, depth: number) {
    const name = typeof ref === "string" ? this.#refs.get(ref) : undefined
    if (name !== undefined) return name
    if (typeof ref !== "string" || !/^#(\/|$)/.test(ref)) throw refusal("'$ref' must begin with '#'")
    const target = ref
      .split("/")
      .slice(1)
      .map((part) => part.replaceAll("~1", "/").replaceAll("~0", "~"))
      .reduce<unknown>(
        (node, part) =>
          Predicate.isReadonlyObject(node) && Object.hasOwn(node, part) ? node[part] : undefined,
        this.#root
      )
    if (target === undefined) throw refusal(`'$ref' leads to nothing: ${ref.slice(0, 128)}`)
    const given = `ref${this.#refs.size}`
    this.#refs.set(ref, given)
    return this.#rule(this.#value(target, depth + 1), given)
  }

  #list(node: SchemaNode, keyword: string): ReadonlyArray<unknown> {
    const list = node[keyword]
    if (Array.isArray(list) && list.length > 0) return list
    throw refusal(`'${keyword}' must be a non-empty list`)
  }

  // A smaller maximum still fits the schema, so the maximum is limited to the engine's repetition limit.
  #bounds(node: SchemaNode, from: string, to: string): readonly [number, number | undefined] {
    const min = this.#whole(node, from) ?? 0
    const max = this.#whole(node, to)
    if (min > maxRepeats) throw refusal(`'${from}' must be at most ${maxRepeats}`)
    if (max !== undefined && max < min) throw refusal(`'${to}' is below '${from}'`)
    return [min, max === undefined ? undefined : Math.min(max, maxRepeats)]
  }

  #whole(node: SchemaNode, keyword: string) {
    const value = node[keyword]
    if (value === undefined || (typeof value === "number" && Number.isInteger(value) && value >= 0))
      return value
    throw refusal(`'${keyword}' must be an integer of at least 0`)
  }

  #hold(node: SchemaNode, held: ReadonlyArray<string>, types?: ReadonlyArray<unknown>) {
    const keyword = unheldKeyword(node, held, types)
    if (keyword !== undefined) this.#unheld(keyword)
  }

  #unheld(keyword: string) {
    if (this.#strict) throw new Unheld(keyword)
  }
}

/**
 * Converts a JSON schema to a grammar in llama.cpp's GBNF, which accepts exactly one value that conforms to the schema.
 * Keywords that the grammar cannot enforce are an error in a strict schema and ignored otherwise. Annotations are always
 * ignored. Objects get no properties other than the named ones. Throws BadRequest.
 */
export const jsonGrammar = (schema: unknown, strict: boolean) => {
  if (JSON.stringify(schema).length > maxSchema) {
    throw refusal(`the schema has more than ${maxSchema} characters`)
  }
  try {
    return new Translation(schema, strict).grammar()
  } catch (cause) {
    throw cause instanceof Unheld ? refusal(cause.message) : cause
  }
}
