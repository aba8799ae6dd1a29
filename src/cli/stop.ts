import * as Command from "effect/cli/Command"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import { checkHiveId, ownHiveId } from "./flags.ts"
import { Output } from "./Output.ts"
import { stopHive, stopHives, stopQueen } from "./stopDaemons.ts"

const hiveId = ownHiveId("Stop only this local hive and its workers (default: the queen and all local hives)")

const stopped = (alias: string) => ({ alias, state: "stopped" })

const stopOne = Effect.fnUntraced(function* (id: string) {
  const output = yield* Output
  if (!(yield* stopHive(id))) yield* output.note(`Hive '${id}' is not running on this machine`)
  yield* output.answer(stopped(id))
})

const stopAll = Effect.gen(function* () {
  const output = yield* Output
  const queen = yield* stopQueen
  const hives = yield* stopHives
  if (!queen && hives.length === 0) yield* output.note("Nothing was running")
  yield* output.answer({
    queen: "stopped",
    hives: hives.map((name) => stopped(name.slice("hive-".length)))
  })
})

export const stop = Command.make(
  "stop",
  { hiveId },
  Effect.fnUntraced(function* ({ hiveId }) {
    yield* checkHiveId(hiveId)
    yield* Option.match(hiveId, { onNone: () => stopAll, onSome: stopOne })
  })
).pipe(
  Command.withDescription("Stop the queen, the local hives and their workers; returns when all have exited"),
  Command.withExamples([{ command: "rbee stop" }, { command: "rbee stop --hive-id atlas" }])
)
