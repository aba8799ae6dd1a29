import { Effect } from "effect"
import type { Cell } from "./Cell.ts"
import type { Asking } from "./clients.ts"
import type { Killable, MatrixFleet } from "./MatrixFleet.ts"

type Fleet = MatrixFleet["Service"]

/** How long a stopped process does nothing, which is the fault itself: more than `timeouts.silence`, so that connections to it count as broken. */
const stoppedFor = "3 seconds"

const stopped = (send: (name: NodeJS.Signals) => Effect.Effect<void>) =>
  send("SIGSTOP").pipe(Effect.andThen(Effect.sleep(stoppedFor)), Effect.andThen(send("SIGCONT")))

const processFault = ({ kill, signal, start }: Killable, by: Cell["by"]) =>
  by === "SIGKILL" ? Effect.andThen(kill, start) : stopped(signal)

/** Has a part of the fleet fail, and puts it back where nothing in rbee does. */
export const fault = ({ by, fails }: Cell, fleet: Fleet, asking: Asking): Effect.Effect<void> => {
  switch (fails) {
    case "client":
      return by === "SIGKILL"
        ? asking.leave
        : stopped((name) => (name === "SIGSTOP" ? asking.pause : asking.resume))
    case "queen":
      return processFault(fleet.queen, by)
    case "hive":
      return processFault(fleet.hive, by)
    case "worker":
      return Effect.flatMap(fleet.busyWorker, (send) => (by === "SIGKILL" ? send("SIGKILL") : stopped(send)))
    case "client-queen":
      return by === "cut" ? fleet.clientProxy.cut : fleet.clientProxy.freeze
    case "queen-hive":
      return by === "cut" ? fleet.hiveProxy.cut : fleet.hiveProxy.freeze
  }
}
