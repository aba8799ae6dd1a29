import type * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import { isServing } from "./Fleet.ts"
import type { FleetView } from "./FleetView.ts"
import type { HiveSnapshot } from "./HiveSnapshot.ts"
import { hiveView } from "./hiveView.ts"
import type { SchedulerCore } from "./SchedulerCore.ts"
import type { SchedulerDriver } from "./SchedulerDriver.ts"

const pollInterval = 500
const idlePollInterval = 5_000
const maxAge = 1_000

const servesModel =
  (model: string) =>
  ({ inventory: { workers } }: HiveSnapshot) =>
    workers.some((worker) => worker.model_id === model && isServing(worker))

/** Keeps the core's view of the fleet current. */
export class FleetUpdates {
  readonly #fleet: FleetView["Service"]
  readonly #core: Pick<SchedulerCore, "load">
  readonly #driver: Pick<SchedulerDriver, "report" | "reportPositions">
  readonly #clock: Clock.Clock
  #snapshots: ReadonlyArray<HiveSnapshot> = []
  #updatedAt = Number.NEGATIVE_INFINITY

  constructor(
    fleet: FleetView["Service"],
    core: Pick<SchedulerCore, "load">,
    driver: Pick<SchedulerDriver, "report" | "reportPositions">,
    clock: Clock.Clock
  ) {
    this.#fleet = fleet
    this.#core = core
    this.#driver = driver
    this.#clock = clock
  }

  /** Updates a view that is older than a second. */
  readonly update = Effect.suspend(() => this.#update(maxAge))

  /**
   * Updates the view for a request for this model: any view will do for a model with a worker, since `FleetView` requests
   * inventories again if a hive was lost since.
   */
  updateFor(model: string): Effect.Effect<void> {
    return Effect.suspend(() =>
      this.#update(this.#snapshots.some(servesModel(model)) ? Number.POSITIVE_INFINITY : maxAge)
    )
  }

  /** Sends a tick every half second; updates the view then if requests wait or workers load, else every five seconds. */
  get rounds(): Effect.Effect<never> {
    return this.#round.pipe(
      Effect.catchCause((cause) => Effect.logError("a round of the scheduler failed", cause)),
      Effect.delay(pollInterval),
      Effect.forever
    )
  }

  readonly #update = Effect.fnUntraced({ self: this }, function* (maxAge: number) {
    const current = yield* this.#fleet.snapshot(maxAge)
    if (current === this.#snapshots) return
    this.#snapshots = current
    yield* this.#driver.report({ _tag: "Fleet", hives: current.map(hiveView) })
  })

  readonly #round = Effect.suspend(() => {
    const { loading, waiting } = this.#core.load
    const now = this.#clock.currentTimeMillisUnsafe()
    const isDue = waiting > 0 || loading > 0 || now - this.#updatedAt >= idlePollInterval
    if (isDue) this.#updatedAt = now
    return Effect.andThen(
      isDue ? this.#update(pollInterval / 2) : Effect.void,
      Effect.andThen(this.#driver.report({ _tag: "Tick" }), this.#driver.reportPositions)
    )
  })
}
