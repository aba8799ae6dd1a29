import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Result from "effect/Result"
import type * as Stream from "effect/Stream"
import * as Struct from "effect/Struct"
import {
  builtIn,
  type Catalog,
  makeDecoder,
  nameOf,
  type OperationClass,
  type OperationRequest
} from "../operation/Catalog.ts"
import type { InvalidOperation } from "../operation/errors.ts"
import { type NamesOf, Operation, type OperationOf } from "../operation/Operation.ts"
import type { OperationError } from "./errors.ts"
import type { JobEvent } from "./log/JobEvent.ts"
import type { RunningJob, Work } from "./Submission.ts"

/** Answers an operation: its events, in order, or why it failed. */
export type Handler<A> = (operation: A, job: RunningJob) => Stream.Stream<JobEvent, OperationError>

/** One handler for each built-in operation of a kind of daemon; a missing one does not compile. */
export type HandlersOf<RunsOn extends "queen" | "hive"> = {
  readonly [Name in NamesOf<RunsOn>]: Handler<OperationOf<Name>>
}

interface Known {
  readonly operation: OperationClass
  /** The work of a request, or what is wrong with its fields. */
  readonly prepare: (request: OperationRequest) => Result.Result<Work | undefined, InvalidOperation>
}

/** The operations that a daemon knows, and its handlers of those that it answers itself. */
export class Handlers extends Context.Service<
  Handlers,
  {
    /** Makes an operation known without a handler: it is checked, and answered elsewhere. */
    readonly register: <A extends { readonly operation: string }>(
      operation: OperationClass<A>
    ) => Effect.Effect<void>
    /** Makes an operation known, and answers it. A handler that was there before is replaced. */
    readonly add: <A extends { readonly operation: string }>(
      operation: OperationClass<A>,
      handler: Handler<A>
    ) => Effect.Effect<void>
    readonly find: (name: string) => Known | undefined
    readonly catalog: Effect.Effect<Catalog>
  }
>()("rbee/job/Handlers") {
  /** Knows the built-in operations and answers none of them. */
  static readonly layer = Layer.effect(
    Handlers,
    Effect.gen(function* () {
      const known = new Map<string, Known>()
      const put = <A extends { readonly operation: string }>(
        operation: OperationClass<A>,
        handler?: Handler<A>
      ) =>
        Effect.sync(() => {
          const decode = makeDecoder(operation)
          known.set(nameOf(operation), {
            operation,
            prepare: (request) =>
              Result.map(decode(request.fields), (value) =>
                handler === undefined ? undefined : (job) => handler(value, job)
              )
          })
        })
      yield* Effect.forEach(builtIn.values(), (operation) => put(operation), { discard: true })
      return Handlers.of({
        register: (operation) => put(operation),
        add: put,
        find: (name) => known.get(name),
        catalog: Effect.sync(() => new Map([...known].map(([name, { operation }]) => [name, operation])))
      })
    })
  )
}

/** A layer that adds an operation of an application's own to the daemon below it. */
export const handle = <A extends { readonly operation: string }>(
  operation: OperationClass<A>,
  handler: Handler<A>
) => Layer.effectDiscard(Handlers.use((handlers) => handlers.add(operation, handler)))

const addOne = <Name extends keyof typeof Operation.cases>(name: Name, handler: Handler<OperationOf<Name>>) =>
  Handlers.use((handlers) => handlers.add(Operation.cases[name], handler))

/** Adds the handlers of all built-in operations of the queen. */
export const addQueenHandlers = (handlers: HandlersOf<"queen">) => {
  const add = <Name extends NamesOf<"queen">>(name: Name) => addOne(name, handlers[name])
  return Effect.forEach(Struct.keys(handlers), (name) => add(name), { discard: true })
}

/** Adds the handlers of all built-in operations of a hive. */
export const addHiveHandlers = (handlers: HandlersOf<"hive">) => {
  const add = <Name extends NamesOf<"hive">>(name: Name) => addOne(name, handlers[name])
  return Effect.forEach(Struct.keys(handlers), (name) => add(name), { discard: true })
}
