import * as Effect from "effect/Effect"
import { makeDecoder, nameOf, type OperationClass } from "../operation/Catalog.ts"
import type { Operation } from "../operation/Operation.ts"
import { BadInput } from "./errors.ts"
import { runOperation, type Show } from "./runJob.ts"

/** Runs an operation with fields from the command line. An invalid field is a usage error. */
export const runArguments = Effect.fnUntraced(function* <A extends Operation>(
  operation: OperationClass<A>,
  fields: { readonly [Field in keyof A]?: A[Field] | undefined },
  show?: Show
) {
  const decoded = yield* Effect.mapError(
    Effect.fromResult(makeDecoder(operation)({ operation: nameOf(operation), ...fields })),
    ({ message }) => new BadInput({ message })
  )
  yield* runOperation(decoded, show)
})
