import * as Predicate from "effect/Predicate"
import * as Schema from "effect/Schema"
import * as SchemaAST from "effect/SchemaAST"

const statusAnnotation = SchemaAST.resolveAt<number>("httpApiStatus")
const internalError = 500

/** The HTTP status of an error class: its annotation `httpApiStatus`; 500 where it has none. */
export const statusOf = (errorClass: unknown) =>
  Schema.isSchema(errorClass) ? (statusAnnotation(errorClass.ast) ?? internalError) : internalError

/** The HTTP status of an error: that of its class. */
export const statusOfError = (error: object) =>
  Predicate.hasProperty(error, "constructor") ? statusOf(error.constructor) : internalError
