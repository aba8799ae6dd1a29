import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Result from "effect/Result"
import * as Stream from "effect/Stream"
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
import { type Emit, type RunningJob, streamWork, type Work } from "./Submission.ts"

/** Answers an operation: emits its events, or returns a stream of them. Its failure is the job's failure. */
export type Handler<A> = (
  operation: A,
  job: RunningJob,
  emit: Emit
) => Effect.Effect<void, OperationError> | Stream.Stream<JobEvent, OperationError>

/** One handler for each built-in operation of a kind of daemon; a missing one does not compile. */
export type HandlersOf<RunsOn extends "queen" | "hive"> = {
  readonly [Name in NamesOf<RunsOn>]: Handler<OperationOf<Name>>
}

interface Known {
  readonly operation: OperationClass
  /** The work of a request (undefined without a handler), or the problems of its fields. */
  readonly prepare: (request: OperationRequest) => Result.Result<Work | undefined, InvalidOperation>
}

const workOf =
  <A>(handler: Handler<A>, operation: A): Work =>
  (job, emit) => {
    const answer = handler(operation, job, emit)
    return Stream.isStream(answer) ? streamWork(() => answer)(job, emit) : answer
  }

/** The operations that a daemon knows, and the handlers of those that it answers itself. */
export class Handlers extends Context.Service<
  Handlers,
  {
    /** Adds an operation without a handler: its fields are checked here, another daemon answers it. */
    readonly register: <A extends { readonly operation: string }>(
      operation: OperationClass<A>
    ) => Effect.Effect<void>
    /** Adds an operation and its handler, which replaces an earlier one. */
    readonly add: <A extends { readonly operation: string }>(
      operation: OperationClass<A>,
      handler: Handler<A>
    ) => Effect.Effect<void>
    readonly find: (name: string) => Known | undefined
    readonly catalog: Effect.Effect<Catalog>
  }
>()("rbee/job/Handlers") {
  /** The built-in operations, without handlers. */
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
                handler === undefined ? undefined : workOf(handler, value)
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

/** A layer that adds an application's own operation and its handler to the daemon below it. */
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
