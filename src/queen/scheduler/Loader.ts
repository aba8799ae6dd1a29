import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Schedule from "effect/Schedule"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import { type JobEvent, readNarration } from "../../job/log/JobEvent.ts"
import { WorkerDelete, WorkerSpawn } from "../../operation/workerOperations.ts"
import { Settings } from "../../settings/Settings.ts"
import { type ForwardError, HiveUnreachable } from "../forward/errors.ts"
import { HiveForwarder } from "../forward/HiveForwarder.ts"
import { HiveRegistry } from "../registry/HiveRegistry.ts"
import { LoadStalled } from "./errors.ts"
import { isServing, type WorkerView } from "./Fleet.ts"
import { FleetView } from "./FleetView.ts"
import type { Command } from "./messages.ts"

type LoadOrder = Extract<Command, { readonly _tag: "Load" }>

/** A hive said that a worker is ready, and not which. */
export class WorkerNotTold extends Schema.TaggedError<WorkerNotTold>()("WorkerNotTold", {
  hive: Schema.String
}) {
  override get message() {
    return `Hive '${this.hive}' started a worker and did not tell its id and memory; is it an older version? 'rbee hive install' upgrades it`
  }
}

/** Has hives start and stop workers. */
export class Loader extends Context.Service<
  Loader,
  {
    /** Returns when the worker is ready. `say` hears what the hive tells meanwhile. */
    readonly load: (
      order: LoadOrder,
      narrate: (sentence: string) => void
    ) => Effect.Effect<WorkerView, ForwardError | HiveUnreachable | LoadStalled | WorkerNotTold>
    /** Returns when the worker is gone, or its hive could not be asked. */
    readonly unload: (worker: WorkerView, reason: string) => Effect.Effect<void>
  }
>()("rbee/queen/scheduler/Loader") {
  static readonly layerNoDeps = Layer.effect(
    Loader,
    Effect.suspend(() => make)
  )
}

const lookAgain = Schedule.spaced("250 millis").pipe(Schedule.upTo({ times: 8 }))

const readWorker = Schema.decodeUnknownOption(Schema.fromJsonString(Schema.Struct({ id: Schema.String })))

const make = Effect.gen(function* () {
  const forwarder = yield* HiveForwarder
  const fleet = yield* FleetView
  const registry = yield* HiveRegistry
  const clock = yield* Clock.Clock
  const { timeouts } = yield* Settings

  const spawn = ({ device, engine, hive, demand }: LoadOrder) =>
    new WorkerSpawn({
      hive_id: hive,
      model: demand.model,
      worker: engine ?? device,
      device: Number(device.split("-")[1] ?? 0),
      ...(demand.contextSize === undefined ? {} : { ctx_size: demand.contextSize }),
      ...(demand.parallel === undefined ? {} : { parallel: demand.parallel })
    })

  const stalled = (order: LoadOrder, heardAt: () => number) =>
    Effect.gen(function* () {
      const most = Duration.toMillis(timeouts.loadStall)
      while (true) {
        const left = heardAt() + most - clock.currentTimeMillisUnsafe()
        if (left <= 0) {
          const { hive, demand } = order
          return yield* new LoadStalled({ model: demand.model, hive, seconds: most / 1000 })
        }
        yield* Effect.sleep(left)
      }
    })

  const untilLost = (hive: string) =>
    Effect.callback<never, HiveUnreachable>((resume) => {
      const leave = registry.onLost(hive, (reason) => resume(new HiveUnreachable({ hive, reason })))
      return Effect.sync(leave)
    })

  // What a hive tells that has much to do may be older than its worker.
  const told = (hive: string, id: string | undefined) =>
    Effect.map(fleet.snapshot(0), (stocks) =>
      stocks.find((stock) => stock.hive === hive)?.inventory.workers.find(({ worker_id }) => worker_id === id)
    )

  return Loader.of({
    load: Effect.fn("Loader.load")(function* (order, narrate) {
      let heardAt = clock.currentTimeMillisUnsafe()
      let id: string | undefined
      const hear = (event: JobEvent) =>
        Effect.sync(() => {
          heardAt = clock.currentTimeMillisUnsafe()
          if (event.kind === "result") id = Option.getOrUndefined(readWorker(event.json))?.id
          if (event.kind === "narration") {
            Option.map(readNarration(event.json), ({ message }) => narrate(message))
          }
        })
      yield* Effect.logInfo("loading a model", {
        model: order.demand.model,
        hive: order.hive,
        device: order.device
      })
      let isGivenUp = false
      const giveUp = Effect.sync(() => {
        isGivenUp = true
      })
      // A queen that stops leaves the hive to its loading; one that comes back finds the worker.
      const spawning = forwarder.forward(spawn(order), { isLeftRunning: () => !isGivenUp })
      yield* Effect.raceAllFirst([
        Stream.runForEach(spawning, hear),
        Effect.tapError(
          stalled(order, () => heardAt),
          () => giveUp
        ),
        Effect.tapError(untilLost(order.hive), () => giveUp)
      ])
      const worker = yield* Effect.repeat(told(order.hive, id), {
        until: (worker) => worker !== undefined && isServing(worker),
        schedule: lookAgain
      })
      if (worker === undefined) return yield* new WorkerNotTold({ hive: order.hive })
      return {
        hive: order.hive,
        id: worker.worker_id,
        model: worker.model_id,
        state: worker.state,
        engine: worker.engine,
        device: worker.device.toLowerCase(),
        slots: worker.slots,
        contextSize: worker.context_size,
        memoryBytes: worker.memory_bytes,
        capabilities: worker.capabilities
      }
    }),
    unload: Effect.fn("Loader.unload")(function* (worker, reason) {
      yield* Effect.logInfo("unloading a model", {
        model: worker.model,
        worker: worker.id,
        hive: worker.hive,
        reason
      })
      yield* Stream.runDrain(
        forwarder.forward(new WorkerDelete({ hive_id: worker.hive, id: worker.id }), {
          isLeftRunning: () => true
        })
      ).pipe(
        Effect.catch(({ message }) =>
          Effect.logWarning("a worker could not be unloaded", { worker: worker.id, reason: message })
        )
      )
    })
  })
})
