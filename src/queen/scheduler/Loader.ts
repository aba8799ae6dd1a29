import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Schedule from "effect/Schedule"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import type { Event } from "../../job/Event.ts"
import { WorkerDelete, WorkerSpawn } from "../../operation/workerOperations.ts"
import { Settings } from "../../settings/Settings.ts"
import { type ForwardError, HiveUnreachable } from "../forward/errors.ts"
import { HiveForwarder } from "../forward/HiveForwarder.ts"
import { HiveRegistry } from "../registry/HiveRegistry.ts"
import { LoadStalled } from "./errors.ts"
import { isServing, type WorkerView } from "./Fleet.ts"
import { FleetView } from "./FleetView.ts"
import { workerView } from "./hiveView.ts"
import type { Command } from "./messages.ts"

type LoadCommand = Extract<Command, { readonly _tag: "Load" }>

/** A hive completed `worker_spawn`, but its inventory does not list the worker. */
export class WorkerNotReported extends Schema.TaggedError<WorkerNotReported>()("WorkerNotTold", {
  hive: Schema.String
}) {
  override get message() {
    return `Hive '${this.hive}' started a worker but did not report it; if it is outdated, run 'rbee hive install'`
  }
}

/** Starts and stops workers on hives. */
export class Loader extends Context.Service<
  Loader,
  {
    /** Returns when the worker is ready. `narrate` gets the hive's narration meanwhile. */
    readonly load: (
      command: LoadCommand,
      narrate: (sentence: string) => void
    ) => Effect.Effect<WorkerView, ForwardError | HiveUnreachable | LoadStalled | WorkerNotReported>
    /** Returns when the worker has exited, or its hive cannot be reached. */
    readonly unload: (worker: WorkerView, reason: string) => Effect.Effect<void>
  }
>()("rbee/queen/scheduler/Loader") {
  static readonly layerNoDeps = Layer.effect(
    Loader,
    Effect.suspend(() => make)
  )
}

const reportPolls = Schedule.spaced("250 millis").pipe(Schedule.upTo({ times: 8 }))

const readWorker = Schema.decodeUnknownOption(Schema.Struct({ id: Schema.String }))

const spawnOperation = ({ demand, device, engine, hive }: LoadCommand) =>
  new WorkerSpawn({
    hive_id: hive,
    model: demand.model,
    worker: engine ?? device,
    device: Number(device.split("-")[1] ?? 0),
    ...(demand.contextSize === undefined ? {} : { ctx_size: demand.contextSize }),
    ...(demand.parallel === undefined ? {} : { parallel: demand.parallel })
  })

/** The progress of one load: the time of the last event, and the worker's id once it is known. */
class LoadProgress {
  readonly #clock: Clock.Clock
  readonly #narrate: (sentence: string) => void
  lastEventAt: number
  workerId: string | undefined

  constructor(clock: Clock.Clock, narrate: (sentence: string) => void) {
    this.#clock = clock
    this.#narrate = narrate
    this.lastEventAt = clock.currentTimeMillisUnsafe()
  }

  observe(event: Event) {
    this.lastEventAt = this.#clock.currentTimeMillisUnsafe()
    if (event._tag === "Result") this.workerId = Option.getOrUndefined(readWorker(event.data))?.id
    if (event._tag === "Narration") this.#narrate(event.message)
  }
}

const make = Effect.gen(function* () {
  const forwarder = yield* HiveForwarder
  const fleet = yield* FleetView
  const registry = yield* HiveRegistry
  const clock = yield* Clock.Clock
  const { timeouts } = yield* Settings
  const stallMillis = Duration.toMillis(timeouts.loadStall)

  const failWhenStalled = Effect.fnUntraced(function* (
    { demand, hive }: LoadCommand,
    progress: LoadProgress
  ) {
    while (true) {
      const left = progress.lastEventAt + stallMillis - clock.currentTimeMillisUnsafe()
      if (left <= 0) {
        return yield* new LoadStalled({ model: demand.model, hive, seconds: stallMillis / 1000 })
      }
      yield* Effect.sleep(left)
    }
  })

  const failWhenLost = (hive: string) =>
    Effect.callback<never, HiveUnreachable>((resume) => {
      const unsubscribe = registry.onLost(hive, (reason) => resume(new HiveUnreachable({ hive, reason })))
      return Effect.sync(unsubscribe)
    })

  /** Runs `worker_spawn` to its end, unless the load stalls or the hive is lost. */
  const spawn = Effect.fnUntraced(function* (command: LoadCommand, progress: LoadProgress) {
    let isAbandoned = false
    const abandon = Effect.sync(() => {
      isAbandoned = true
    })
    // A stopping queen leaves the load to the hive; the restarted queen finds the worker.
    const events = forwarder.forward(spawnOperation(command), { isLeftRunning: () => !isAbandoned })
    yield* Effect.raceAllFirst([
      Stream.runForEach(events, (event) => Effect.sync(() => progress.observe(event))),
      Effect.tapError(failWhenStalled(command, progress), () => abandon),
      Effect.tapError(failWhenLost(command.hive), () => abandon)
    ])
  })

  const findWorker = (hive: string, id: string | undefined) =>
    Effect.map(fleet.snapshot(0), (snapshots) =>
      snapshots
        .find((snapshot) => snapshot.hive === hive)
        ?.inventory.workers.find(({ worker_id }) => worker_id === id)
    )

  return Loader.of({
    load: Effect.fn("Loader.load")(function* (command, narrate) {
      const { demand, device, hive } = command
      yield* Effect.logInfo("loading a model", { model: demand.model, hive, device })
      const progress = new LoadProgress(clock, narrate)
      yield* spawn(command, progress)
      // The inventory of a busy hive may be older than its new worker.
      const worker = yield* Effect.repeat(findWorker(hive, progress.workerId), {
        until: (worker) => worker !== undefined && isServing(worker),
        schedule: reportPolls
      })
      if (worker === undefined) return yield* new WorkerNotReported({ hive })
      return workerView(hive, worker)
    }),
    unload: Effect.fn("Loader.unload")(function* ({ hive, id, model }, reason) {
      yield* Effect.logInfo("unloading a model", { model, worker: id, hive, reason })
      yield* Stream.runDrain(
        forwarder.forward(new WorkerDelete({ hive_id: hive, id }), { isLeftRunning: () => true })
      ).pipe(
        Effect.catch(({ message }) =>
          Effect.logWarning("a worker could not be unloaded", { worker: id, reason: message })
        )
      )
    })
  })
})
