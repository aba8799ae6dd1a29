import * as Command from "effect/cli/Command"
import * as Flag from "effect/cli/Flag"
import * as Effect from "effect/Effect"
import { Status } from "../operation/fleetOperations.ts"
import { Connection } from "./Connection.ts"
import { runArguments } from "./operationCommand.ts"
import { Output } from "./Output.ts"

const watch = Flag.Boolean("watch").pipe(
  Flag.withAlias("w"),
  Flag.withDescription("Refresh every two seconds until Ctrl+C"),
  Flag.withDefault(false)
)

const refreshInterval = "2 seconds"

const show = Effect.gen(function* () {
  const connection = yield* Connection
  const output = yield* Output
  const queen = yield* connection.queen
  if (yield* connection.isHealthy(queen)) return yield* runArguments(Status, {})
  yield* output.note(`The queen is not running at ${queen.url}; start it with 'rbee queen start'`)
  yield* output.answer({ queen: "stopped", url: queen.url })
})

const watchStatus = Effect.gen(function* () {
  const output = yield* Output
  const inPlace = Output.of({
    ...output,
    note: () => Effect.void,
    answer: (answer) => Effect.andThen(output.clear, output.answer(answer))
  })
  const once = show.pipe(
    Effect.provideService(Output, inPlace),
    // Keeps watching: the queen may return.
    Effect.catch(({ message }) => Effect.andThen(output.clear, output.error(message)))
  )
  return yield* Effect.forever(Effect.andThen(once, Effect.sleep(refreshInterval)))
})

export const status = Command.make("status", { watch }, ({ watch }) => (watch ? watchStatus : show)).pipe(
  Command.withDescription("Show hives, devices, workers, models and jobs; starts no daemon"),
  Command.withExamples([
    { command: "rbee status" },
    { command: "rbee status --watch" },
    { command: "rbee status --json" }
  ])
)
