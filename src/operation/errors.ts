import * as Schema from "effect/Schema"

/** An invalid field of a request, with the expected and the received value. */
export class FieldProblem extends Schema.Class<FieldProblem>("FieldProblem")({
  field: Schema.String,
  expected: Schema.String,
  got: Schema.String
}) {}

/** The request is not a JSON object, or a field is invalid for its operation. No job was created. */
export class InvalidOperation extends Schema.TaggedError<InvalidOperation>()(
  "InvalidOperation",
  { operation: Schema.optionalKey(Schema.String), problems: Schema.Array(FieldProblem) },
  { httpApiStatus: 400 }
) {
  /** The problems as JSON. */
  get details() {
    return this.problems.map(({ expected, field, got }) => ({ field, expected, got }))
  }
  override get message() {
    const what = this.operation === undefined ? "request" : this.operation
    const list = this.problems.map(
      ({ field, expected, got }) => `field '${field}': expected ${expected}, got ${got}`
    )
    return `Invalid ${what}: ${list.join("; ")}`
  }
}

/** The daemon does not know the operation, and the request does not name a hive to forward it to. */
export class UnknownOperation extends Schema.TaggedError<UnknownOperation>()(
  "UnknownOperation",
  { operation: Schema.String, known: Schema.Array(Schema.String) },
  { httpApiStatus: 400 }
) {
  override get message() {
    return `Unknown operation '${this.operation}' in field 'operation'; known operations: ${this.known.join(", ")}`
  }
}

/** The operation runs on the other kind of daemon. */
export class WrongDaemon extends Schema.TaggedError<WrongDaemon>()(
  "WrongDaemon",
  { operation: Schema.String, runsOn: Schema.Literals(["queen", "hive"]) },
  { httpApiStatus: 400 }
) {
  override get message() {
    return `Operation '${this.operation}' runs on a ${this.runsOn}; send it to the ${this.runsOn}`
  }
}

/** The errors of a request before its job is created. */
export const RefusedOperation = Schema.Union([InvalidOperation, UnknownOperation, WrongDaemon])
export type RefusedOperation = typeof RefusedOperation.Type
