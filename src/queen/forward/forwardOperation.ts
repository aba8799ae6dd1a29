import * as Effect from "effect/Effect"
import * as Queue from "effect/Queue"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import { decodeEvent, type Event } from "../../job/Event.ts"
import type { JobEvent } from "../../job/log/JobEvent.ts"
import type { OperationClass } from "../../operation/Catalog.ts"
import { hiveId, Operation, operationName } from "../../operation/Operation.ts"
import { type ForwardError, InvalidResponse } from "./errors.ts"
import type { Forwarded, ForwardJson, LeavingOptions } from "./Forwarded.ts"

/** An operation that names the hive that runs it. */
export interface HiveOperation {
  readonly operation: string
  readonly hive_id: string
}

/** Forwards an operation that ships with rbee, or one of the application's own together with its class. */
export interface Forward {
  (operation: Operation, options?: LeavingOptions): Stream.Stream<Event, ForwardError>
  <A extends HiveOperation>(
    operationClass: OperationClass<A>,
    operation: A,
    options?: LeavingOptions
  ): Stream.Stream<Event, ForwardError>
}

/** The request of an operation, encoded with the schema of its class. */
const toRequest = <A extends HiveOperation>(
  operationClass: OperationClass<A>,
  operation: A,
  options: LeavingOptions
): Forwarded => ({
  operation: operation.operation,
  hiveId: operation.hive_id,
  json: JSON.stringify(Schema.encodeSync(operationClass)(operation)),
  routing: operationClass.routing,
  ...options
})

const encodeBuiltIn = Schema.encodeSync(Schema.fromJsonString(Operation))

const toBuiltInRequest = (operation: Operation, options: LeavingOptions): Forwarded => {
  const name = operationName(operation)
  return {
    operation: name,
    hiveId: hiveId(operation) ?? "localhost",
    json: encodeBuiltIn(operation),
    routing: Operation.cases[name].routing,
    ...options
  }
}

const isClass = <A extends HiveOperation>(
  operation: Operation | OperationClass<A>
): operation is OperationClass<A> => "routing" in operation

const isOperation = <A extends HiveOperation>(value: A | LeavingOptions): value is A => "operation" in value

const decodeBatch = (hive: string, events: ReadonlyArray<JobEvent>) =>
  Effect.mapError(
    Effect.fromResult(Result.all(events.map(decodeEvent))),
    ({ kind }) => new InvalidResponse({ hive, detail: `sent an event '${kind}' with unexpected data` })
  )

/** Runs a request, and gives its events with decoded data. */
const run = (forwardJson: ForwardJson, request: Forwarded): Stream.Stream<Event, ForwardError> =>
  Stream.callback((queue) =>
    Effect.andThen(
      forwardJson(request, (events) =>
        Effect.flatMap(decodeBatch(request.hiveId, events), (decoded) => Queue.offerAll(queue, decoded))
      ),
      Queue.end(queue)
    )
  )

/** Forwards operations by sending their JSON. */
export const forwardWith = (forwardJson: ForwardJson): Forward => {
  function forward(operation: Operation, options?: LeavingOptions): Stream.Stream<Event, ForwardError>
  function forward<A extends HiveOperation>(
    operationClass: OperationClass<A>,
    operation: A,
    options?: LeavingOptions
  ): Stream.Stream<Event, ForwardError>
  function forward<A extends HiveOperation>(
    first: Operation | OperationClass<A>,
    second: A | LeavingOptions = {},
    options: LeavingOptions = {}
  ) {
    return Stream.suspend(() => {
      if (!isClass(first)) return run(forwardJson, toBuiltInRequest(first, isOperation(second) ? {} : second))
      return isOperation(second)
        ? run(forwardJson, toRequest(first, second, options))
        : Stream.die("forward(Class, operation): the operation is missing")
    })
  }
  return forward
}
