import * as Predicate from "effect/Predicate"
import * as Schema from "effect/Schema"
import * as SchemaAST from "effect/SchemaAST"

const statusAnnotation = SchemaAST.resolveAt<number>("httpApiStatus")
const internalError = 500

const annotatedStatus = (errorClass: unknown) =>
  Schema.isSchema(errorClass) ? statusAnnotation(errorClass.ast) : undefined

/** The HTTP status of an error class: its annotation `httpApiStatus`, or 500 without one. */
export const statusOf = (errorClass: unknown) => annotatedStatus(errorClass) ?? internalError

/** The HTTP status that an error's class declares; undefined if it declares none. */
export const declaredStatus = (error: object) =>
  Predicate.hasProperty(error, "constructor") ? annotatedStatus(error.constructor) : undefined

/** The HTTP status of an error: that of its class. */
export const statusOfError = (error: object) => declaredStatus(error) ?? internalError
