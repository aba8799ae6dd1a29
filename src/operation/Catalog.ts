import * as Predicate from "effect/Predicate"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import * as SchemaIssue from "effect/SchemaIssue"
import { brokenJson } from "./brokenJson.ts"
import { FieldProblem, InvalidOperation } from "./errors.ts"
import { HiveId } from "./fields.ts"
import { Operation } from "./Operation.ts"
import type { Routing } from "./Routing.ts"

/** The class of an operation: a schema with the tag key `operation`, and its routing facts. */
export interface OperationClass<
  A extends { readonly operation: string } = { readonly operation: string }
> extends Schema.ConstraintCodec<A, unknown> {
  readonly fields: {
    readonly operation: Schema.tag<A["operation"]>
    readonly [field: string]: Schema.Constraint
  }
  readonly routing: Routing
}

/** Operation classes by the name of their operation. */
export type Catalog = ReadonlyMap<string, OperationClass>

/** The operations that ship with rbee. */
export const builtIn: Catalog = new Map<string, OperationClass>(Object.entries(Operation.cases))

/** The name of a class's operation on the wire. */
export const nameOf = (operation: OperationClass) => operation.fields.operation.schema.literal

/** A request of which only the operation's name and the hive have been read. */
export interface OperationRequest {
  readonly name: string
  /** The hive that the request names, if any. */
  readonly hiveId: string | undefined
  /** The received text, unchanged. */
  readonly json: string
  /** The received fields, not decoded. */
  readonly fields: { readonly [field: string]: unknown }
}

/** The model that a request names. */
export const modelOf = ({ fields: { model } }: OperationRequest) =>
  typeof model === "string" ? model : undefined

const describe = (value: unknown) => {
  if (value === undefined) return "nothing"
  // JSON.stringify runs out of stack where JSON.parse does not.
  const text = Result.getOrElse(
    Result.try(() => JSON.stringify(value)),
    () => "a deeply nested value"
  )
  return text.length <= 80 ? text : `${text.slice(0, 77)}...`
}

const problem = (field: string, expected: string, value: unknown) =>
  new FieldProblem({ field, expected, got: describe(value) })

const refuse = (operation: string | undefined, problems: ReadonlyArray<FieldProblem>) =>
  Result.fail(new InvalidOperation({ ...(operation === undefined ? {} : { operation }), problems }))

const aRequest = "a JSON object with the field 'operation'"

const isHiveId = Schema.is(HiveId)

/**
 * Reads the operation's name and the hive of a request body. Fails with `InvalidOperation` when the body is not a JSON
 * object or does not name an operation. Never throws.
 */
export const readRequest = (json: string): Result.Result<OperationRequest, InvalidOperation> => {
  const parsed = Result.try((): unknown => JSON.parse(json))
  if (Result.isFailure(parsed)) {
    const reason = brokenJson(json) ?? "it cannot be parsed"
    return refuse(undefined, [
      new FieldProblem({ field: "(body)", expected: aRequest, got: `invalid JSON: ${reason}` })
    ])
  }
  const fields = parsed.success
  if (!Predicate.isReadonlyObject(fields)) {
    return refuse(undefined, [problem("(body)", aRequest, fields)])
  }
  const { operation: name, hive_id: hiveId } = fields
  if (typeof name !== "string" || name === "" || name.length > 128) {
    return refuse(undefined, [problem("operation", "the name of an operation", name)])
  }
  if (hiveId === undefined || hiveId === null)
    return Result.succeed({ name, hiveId: undefined, json, fields })
  return isHiveId(hiveId)
    ? Result.succeed({ name, hiveId, json, fields })
    : refuse(name, [problem("hive_id", "a hive id", hiveId)])
}

const isOptionalOnTheWire = (field: Schema.Constraint) =>
  Schema.toEncoded(field).ast.context?.isOptional === true

const optionalFields = (operation: OperationClass): ReadonlySet<string> =>
  new Set(
    Object.keys(operation.fields).filter((name) => {
      const field = operation.fields[name]
      return field !== undefined && isOptionalOnTheWire(field)
    })
  )

const toIssues = SchemaIssue.makeFormatterStandardSchemaV1()

/**
 * Makes the decoder of an operation. `null` in an optional field equals absence; unknown fields are ignored. The error
 * lists every invalid field with the expected and the received value.
 */
export const makeDecoder = <A extends { readonly operation: string }>(operation: OperationClass<A>) => {
  const decode = Schema.decodeUnknownResult(operation, { errors: "all" })
  const optional = optionalFields(operation)
  return (fields: OperationRequest["fields"]): Result.Result<A, InvalidOperation> => {
    const present = Object.fromEntries(
      Object.entries(fields).filter(([name, value]) => (value ?? null) !== null || !optional.has(name))
    )
    return Result.mapError(decode(present), ({ issue }) => {
      const problems = toIssues(issue).issues.map(({ message, path }) => {
        const field = String(path?.[0] ?? "(body)")
        // The fields in fields.ts have one sentence for all of their checks.
        const expected = operation.fields[field]?.ast.context?.annotations?.messageMissingKey ?? message
        return problem(field, expected.replace(/^Expected /, ""), fields[field])
      })
      return new InvalidOperation({ operation: nameOf(operation), problems })
    })
  }
}

/** The JSON Schema (draft 2020-12) of every operation in the catalog, by name. */
export const jsonSchemas = (catalog: Catalog) =>
  Object.fromEntries([...catalog].map(([name, operation]) => [name, Schema.toJsonSchemaDocument(operation)]))
