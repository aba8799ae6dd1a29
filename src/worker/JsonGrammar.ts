import * as Predicate from "effect/Predicate"
import { BadRequest } from "./errors.ts"
import { anyOf, formats, literal, optionalOf, rules } from "./gbnf.ts"

const largestNumber = 1e15
const deepest = 64
const mostRepeats = 1000
const largestSchema = 65_536

// They say something about a value and take none away.
const annotations = new Set([
  ..."$schema $id $comment $defs definitions title description default examples format".split(" "),
  ..."deprecated readOnly writeOnly".split(" ")
])

const keywords: { readonly [type: string]: ReadonlyArray<string> } = {
  string: ["minLength", "maxLength"],
  integer: ["minimum", "maximum"],
  number: ["minimum", "maximum"],
  boolean: [],
  null: [],
  array: ["items", "minItems", "maxItems"],
  object: ["properties", "required", "additionalProperties"]
}

type Node = { readonly [keyword: string]: unknown }

const refusal = (reason: string) =>
  new BadRequest({ reason: `'response_format': ${reason}`, param: "response_format", code: "invalid_value" })

/** One translation: the rules so far, and the names of the schemas that `$ref` led to. */
class Translation {
  readonly #root: unknown
  readonly #strict: boolean
  readonly #rules = new Map(Object.entries(rules))
  readonly #refs = new Map<string, string>()

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
    if (depth > deepest) throw refusal(`the schema is more than ${deepest} levels deep`)
    if (node === true) return "any"
    if (!Predicate.isReadonlyObject(node)) throw refusal("every schema in it must be an object or true")
    if (node["$ref"] !== undefined) {
      this.#hold(node, ["$ref"])
      return this.#reference(node["$ref"], depth)
    }
    if (node["const"] !== undefined) {
      this.#hold(node, ["const", "type"])
      return literal(node["const"])
    }
    if (node["enum"] !== undefined) {
      this.#hold(node, ["enum", "type"])
      return anyOf(this.#list(node, "enum").map(literal))
    }
    const union = ["anyOf", "oneOf", "allOf"].find((keyword) => node[keyword] !== undefined)
    return union === undefined ? this.#typed(node, depth) : this.#union(node, union, depth)
  }

  // Of several schemas at once only one alone can be held.
  #union(node: Node, keyword: string, depth: number) {
    const nodes = this.#list(node, keyword)
    const holds = keyword !== "allOf" || nodes.length === 1
    this.#hold(node, holds ? [keyword, "type"] : [])
    return holds ? anyOf(nodes.map((each) => this.#value(each, depth + 1))) : "any"
  }

  #typed(node: Node, depth: number) {
    const guess =
      node["properties"] !== undefined ? "object" : node["items"] !== undefined ? "array" : undefined
    const types = Array.isArray(node["type"]) ? this.#list(node, "type") : [node["type"] ?? guess]
    const held = types.flatMap((type) => (typeof type === "string" ? (keywords[type] ?? []) : []))
    this.#hold(node, ["type", ...held])
    return anyOf(
      types.map((type) => {
        switch (type) {
          case "object":
            return this.#object(node, depth)
          case "array":
            return this.#array(node, depth)
          case "string":
            return this.#string(node)
          case "integer":
            return this.#number(node, "integer", "natural")
          case "number":
            return this.#number(node, "number", "decimal")
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
  #object(node: Node, depth: number) {
    const { additionalProperties: others, properties = {}, required = [] } = node
    if (!Predicate.isReadonlyObject(properties)) throw refusal("'properties' must be an object")
    if (!Array.isArray(required)) throw refusal("'required' must be a list")
    const needed = new Set(required.map(String))
    const names = [...new Set([...Object.keys(properties), ...needed])]
    if (names.length === 0) {
      if (others === undefined || others === true) return "object"
      if (others === false) return `"{}"`
      const pair = this.#rule(`string ":" space ${this.#value(others, depth + 1)}`)
      return `"{" ${optionalOf(`space ${pair} ( "," space ${pair} )* space`)} "}"`
    }
    let first = `""`
    let later = `""`
    for (const name of names.toReversed()) {
      const value = this.#value(Object.hasOwn(properties, name) ? properties[name] : true, depth + 1)
      const pair = this.#rule(`${literal(name)} ":" space ${value}`)
      const isNeeded = needed.has(name)
      first = this.#rule(`${pair} ${later}${isNeeded ? "" : ` | ${first}`}`)
      later = this.#rule(
        isNeeded ? `"," space ${pair} ${later}` : `${optionalOf(`"," space ${pair}`)} ${later}`
      )
    }
    return `"{" space ${first} space "}"`
  }

  #array(node: Node, depth: number) {
    const [least, most] = this.#bounds(node, "minItems", "maxItems")
    if (most === 0) return `"[]"`
    const item = this.#rule(this.#value(node["items"] ?? true, depth + 1))
    const more = `{${Math.max(0, least - 1)},${most === undefined ? "" : most - 1}}`
    const items = `space ${item} ( "," space ${item} )${more} space`
    return `"[" ${least === 0 ? optionalOf(items) : items} "]"`
  }

  #string(node: Node) {
    const { format } = node
    const form = typeof format === "string" && Object.hasOwn(formats, format) ? formats[format] : undefined
    if (form !== undefined) return String.raw`"\"" ${form} "\""`
    const [least, most] = this.#bounds(node, "minLength", "maxLength")
    return least === 0 && most === undefined ? "string" : String.raw`"\"" char{${least},${most ?? ""}} "\""`
  }

  #number(node: Node, signed: string, unsigned: string) {
    const { maximum = largestNumber, minimum = -largestNumber } = node
    if (typeof maximum !== "number" || maximum < largestNumber) this.#unheld("maximum")
    if (minimum === 0) return unsigned
    if (typeof minimum !== "number" || minimum > -largestNumber) this.#unheld("minimum")
    return signed
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

  #list(node: Node, keyword: string): ReadonlyArray<unknown> {
    const list = node[keyword]
    if (Array.isArray(list) && list.length > 0) return list
    throw refusal(`'${keyword}' must be a list with something in it`)
  }

  // What is shorter than asked for fits as well: so a bound above what the engine repeats becomes that.
  #bounds(node: Node, from: string, to: string): readonly [number, number | undefined] {
    const least = this.#whole(node, from) ?? 0
    const most = this.#whole(node, to)
    if (least > mostRepeats) throw refusal(`'${from}' must be at most ${mostRepeats}`)
    if (most !== undefined && most < least) throw refusal(`'${to}' is below '${from}'`)
    return [least, most === undefined ? undefined : Math.min(most, mostRepeats)]
  }

  #whole(node: Node, keyword: string) {
    const value = node[keyword]
    if (value === undefined || (typeof value === "number" && Number.isInteger(value) && value >= 0))
      return value
    throw refusal(`'${keyword}' must be a whole number from 0`)
  }

  #hold(node: Node, held: ReadonlyArray<string>) {
    for (const keyword of Object.keys(node)) {
      if (!annotations.has(keyword) && !held.includes(keyword)) this.#unheld(keyword)
    }
  }

  #unheld(keyword: string) {
    if (!this.#strict) return
    const named = keyword.slice(0, 64)
    throw refusal(
      `the built-in engine cannot hold an answer to '${named}'; leave it out, or set 'strict' to false`
    )
  }
}

/**
 * Makes a grammar in llama.cpp's GBNF of a JSON schema; what it lets pass fits the schema, and ends with the value.
 * A strict schema is refused for a keyword that no grammar can hold an answer to; others are passed over. Objects get
 * no properties beside the named ones. Throws BadRequest.
 */
export const jsonGrammar = (schema: unknown, strict: boolean) => {
  if (JSON.stringify(schema).length > largestSchema) {
    throw refusal(`the schema has more than ${largestSchema} characters`)
  }
  return new Translation(schema, strict).grammar()
}
