import * as Schema from "effect/Schema"

/** One field of a request that cannot be taken, with what was expected and what came. */
export class FieldProblem extends Schema.Class<FieldProblem>("FieldProblem")({
  field: Schema.String,
  expected: Schema.String,
  got: Schema.String
}) {}

/** The request is no JSON object, or its fields are not those of its operation. Nothing was created. */
export class InvalidOperation extends Schema.TaggedError<InvalidOperation>()(
  "InvalidOperation",
  { operation: Schema.optionalKey(Schema.String), problems: Schema.Array(FieldProblem) },
  { httpApiStatus: 400 }
) {
  override get message() {
    const what = this.operation === undefined ? "request" : this.operation
    const list = this.problems.map(
      ({ field, expected, got }) => `field '${field}': expected ${expected}, got ${got}`
    )
    return `Invalid ${what}: ${list.join("; ")}`
  }
}

/** The name is not known here, and the request names no hive that might know it. */
export class UnknownOperation extends Schema.TaggedError<UnknownOperation>()(
  "UnknownOperation",
  { operation: Schema.String, known: Schema.Array(Schema.String) },
  { httpApiStatus: 400 }
) {
  override get message() {
    return `Unknown operation '${this.operation}' in field 'operation'; known are: ${this.known.join(", ")}`
  }
}

/** The operation is for the other kind of daemon. */
export class WrongDaemon extends Schema.TaggedError<WrongDaemon>()(
  "WrongDaemon",
  { operation: Schema.String, runsOn: Schema.Literals(["queen", "hive"]) },
  { httpApiStatus: 400 }
) {
  override get message() {
    return `The operation '${this.operation}' is answered by a ${this.runsOn}; send it there`
  }
}

/** Why a request is refused before a job is made of it. */
export const RefusedOperation = Schema.Union([InvalidOperation, UnknownOperation, WrongDaemon])
export type RefusedOperation = typeof RefusedOperation.Type
