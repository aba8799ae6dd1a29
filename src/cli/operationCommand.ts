import * as Effect from "effect/Effect"
import type { Operation } from "../operation/Operation.ts"
import { BadInput } from "./errors.ts"
import { runOperation, type Show } from "./runJob.ts"

/** Makes an operation of what was typed, and runs it. A value that the operation does not take is a usage error. */
export const runTyped = Effect.fnUntraced(function* (make: () => Operation, show?: Show) {
  const operation = yield* Effect.try({
    try: make,
    catch: (cause) => new BadInput({ message: cause instanceof Error ? cause.message : String(cause) })
  })
  yield* runOperation(operation, show)
})
