import * as Predicate from "effect/Predicate"
import { anyOf, literal, optionalOf, rules } from "./gbnf.ts"
import { numberRule } from "./numberGrammar.ts"
import { PatternGrammar } from "./patternGrammar.ts"
import { hasType, refusal, type SchemaNode, typesOf, Unheld, unheldKeyword } from "./schemaKeywords.ts"
import { isAnyString, stringContent } from "./stringGrammar.ts"

const maxDepth = 64
const maxRepeats = 1000
const maxSchema = 65_536

/** One translation: the rules so far, and the names of the schemas that `$ref` led to. */
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

  // Of several schemas at once only one alone can be held.
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
            throw refusal(`there is no type ${JSON.stringify(type)}`)
        }
      })
    )
  }

  // Backwards, because what may follow a property depends on whether one came before it.
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
      if (schema === false) throw refusal(`'required' names '${name.slice(0, 64)}', which cannot be there`)
      const pair = this.#rule(`${literal(name)} ":" space ${this.#value(schema, depth + 1)}`)
      const isNeeded = needed.has(name)
      first = this.#rule(`${pair} ${later}${isNeeded ? "" : ` | ${first}`}`)
      later = this.#rule(
        isNeeded ? `"," space ${pair} ${later}` : `${optionalOf(`"," space ${pair}`)} ${later}`
      )
    }
    return `"{" space ${first} space "}"`
  }

  // With as few properties as may be there, or as many as must, it is known which.
  #propertiesOf(node: SchemaNode, named: ReadonlySet<string>, needed: ReadonlySet<string>) {
    const least = this.#whole(node, "minProperties") ?? 0
    const most = this.#whole(node, "maxProperties") ?? named.size
    if (least === named.size && most >= least) return { names: [...named], needed: named }
    if (most === needed.size && least <= most) return { names: [...needed], needed }
    if (least > needed.size) this.#unheld("minProperties")
    if (most < named.size) this.#unheld("maxProperties")
    return { names: [...named], needed }
  }

  #map(node: SchemaNode, others: unknown, depth: number) {
    const least = this.#whole(node, "minProperties") ?? 0
    const most = this.#whole(node, "maxProperties")
    // Two properties may have the same name, which counts once.
    if (least > 1 || (most !== undefined && most < least)) this.#unheld("minProperties")
    if (others === false && least > 0)
      throw refusal("'minProperties' asks for properties that cannot be there")
    if (others === false || most === 0) return `"{}"`
    if (others === true && least === 0 && most === undefined) return "object"
    const pair = this.#rule(`string ":" space ${this.#value(others, depth + 1)}`)
    const more = most === undefined ? "*" : `{0,${Math.min(most, maxRepeats) - 1}}`
    const pairs = `space ${pair} ( "," space ${pair} )${more} space`
    return `"{" ${least === 0 ? optionalOf(pairs) : pairs} "}"`
  }

  #array(node: SchemaNode, depth: number) {
    const [least, most = Number.POSITIVE_INFINITY] = this.#bounds(node, "minItems", "maxItems")
    const { additionalItems, items, prefixItems } = node
    const isOldTuple = Array.isArray(items)
    const prefix = isOldTuple ? items : prefixItems === undefined ? [] : this.#list(node, "prefixItems")
    const others = (isOldTuple ? additionalItems : items) ?? true
    const own = prefix.slice(0, most).map((each) => this.#rule(this.#value(each, depth + 1)))
    const rest = most - own.length
    const restLeast = Math.max(0, least - own.length)
    if (others === false && restLeast > 0) throw refusal("'minItems' asks for more items than there can be")
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
      list = this.#rule(index > 0 && index >= least ? optionalOf(begun) : begun)
    }
    return `"[" ${least === 0 ? optionalOf(`space ${list} space`) : `space ${list} space`} "]"`
  }

  #string(node: SchemaNode) {
    const bounds = this.#bounds(node, "minLength", "maxLength")
    const loosely = `char{${bounds[0]},${bounds[1] ?? ""}}`
    return this.#heldOr(() => stringContent(node, bounds, this.#patterns), loosely)
  }

  // What is not strict may be held in part.
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
    throw refusal(`'${keyword}' must be a list with something in it`)
  }

  // What is shorter than asked for fits as well: so a bound above what the engine repeats becomes that.
  #bounds(node: SchemaNode, from: string, to: string): readonly [number, number | undefined] {
    const least = this.#whole(node, from) ?? 0
    const most = this.#whole(node, to)
    if (least > maxRepeats) throw refusal(`'${from}' must be at most ${maxRepeats}`)
    if (most !== undefined && most < least) throw refusal(`'${to}' is below '${from}'`)
    return [least, most === undefined ? undefined : Math.min(most, maxRepeats)]
  }

  #whole(node: SchemaNode, keyword: string) {
    const value = node[keyword]
    if (value === undefined || (typeof value === "number" && Number.isInteger(value) && value >= 0))
      return value
    throw refusal(`'${keyword}' must be a whole number from 0`)
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
 * Makes a grammar in llama.cpp's GBNF of a JSON schema; what it lets pass fits the schema, and ends with the value.
 * A strict schema is refused for a keyword that the grammar does not guarantee; of others such keywords are ignored.
 * Keywords without effect on values are always ignored. Objects get no properties beside the named ones. Throws
 * BadRequest.
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
