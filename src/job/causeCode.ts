import * as Predicate from "effect/Predicate"

/** The code of the system's error that lies below another, such as `ECONNREFUSED`. */
export const causeCode = (error: unknown): string | undefined => {
  if (Predicate.hasProperty(error, "code") && typeof error.code === "string") return error.code
  return Predicate.hasProperty(error, "cause") ? causeCode(error.cause) : undefined
}
