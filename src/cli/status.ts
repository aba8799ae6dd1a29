import * as Command from "effect/cli/Command"
import * as Flag from "effect/cli/Flag"
import * as Effect from "effect/Effect"
import { Status } from "../operation/fleetOperations.ts"
import { Connection } from "./Connection.ts"
import { runTyped } from "./operationCommand.ts"
import { Output } from "./Output.ts"

const watch = Flag.Boolean("watch").pipe(
  Flag.withAlias("w"),
  Flag.withDescription("Show it again every two seconds, in place, until Ctrl+C"),
  Flag.withDefault(false)
)

const again = "2 seconds"

const show = Effect.gen(function* () {
  const connection = yield* Connection
  const output = yield* Output
  const queen = yield* connection.queen
  if (yield* connection.isWell(queen)) return yield* runTyped(Status, {})
  yield* output.note(`The queen does not run at ${queen.url}; 'rbee queen start' starts it`)
  yield* output.answer({ queen: "stopped", url: queen.url })
})

const watching = Effect.gen(function* () {
  const output = yield* Output
  const inPlace = Output.of({
    ...output,
    note: () => Effect.void,
    answer: (answer) => Effect.andThen(output.clear, output.answer(answer))
  })
  const once = show.pipe(
    Effect.provideService(Output, inPlace),
    // A queen that comes back is seen again.
    Effect.catch(({ message }) => Effect.andThen(output.clear, output.error(message)))
  )
  return yield* Effect.forever(Effect.andThen(once, Effect.sleep(again)))
})

export const status = Command.make("status", { watch }, ({ watch }) => (watch ? watching : show)).pipe(
  Command.withDescription("Show hives, devices, workers, models and jobs at a glance; starts nothing"),
  Command.withExamples([
    { command: "rbee status" },
    { command: "rbee status --watch" },
    { command: "rbee status --json" }
  ])
)
