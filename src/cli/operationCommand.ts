import * as Effect from "effect/Effect"
import { makeDecoder, nameOf, type OperationClass } from "../operation/Catalog.ts"
import type { Operation } from "../operation/Operation.ts"
import { BadInput } from "./errors.ts"
import { runOperation, type Show } from "./runJob.ts"

/** Makes an operation of what was typed, and runs it. A value that the operation does not take is a usage error. */
export const runTyped = Effect.fnUntraced(function* <A extends Operation>(
  operation: OperationClass<A>,
  fields: { readonly [Field in keyof A]?: A[Field] | undefined },
  show?: Show
) {
  const args = yield* Effect.mapError(
    Effect.fromResult(makeDecoder(operation)({ operation: nameOf(operation), ...fields })),
    ({ message }) => new BadInput({ message })
  )
  yield* runOperation(args, show)
})
