import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { findModel, pickModel, Upstream } from "../../gateway/upstream/Upstream.ts"
import { Settings } from "../../settings/Settings.ts"
import { FleetView } from "../scheduler/FleetView.ts"
import { CompletionForwarder } from "./CompletionForwarder.ts"
import { PublicModels } from "./PublicModels.ts"

/** The age in milliseconds up to which listed models and workers are current enough. */
const maxAge = 2_000

/** The fleet as the backend of the queen's application endpoints. */
export const fleetUpstream = Layer.effect(
  Upstream,
  Effect.gen(function* () {
    const fleet = yield* FleetView
    const { complete } = yield* CompletionForwarder
    const { aliases } = yield* Settings
    const publicModels = new PublicModels(aliases)

    const models = (maxAge: number) =>
      Effect.map(fleet.snapshot(maxAge), (snapshots) => publicModels.of(snapshots))

    // A known model most likely still exists, so any snapshot will do; an unknown one may be new.
    const find = Effect.fnUntraced(function* (name: string) {
      const known = findModel(yield* models(Number.POSITIVE_INFINITY), name)
      if (known !== undefined) return known
      return yield* Effect.fromResult(pickModel(publicModels.of(yield* fleet.refresh), name))
    })

    return Upstream.of({
      models: models(maxAge),
      find,
      workers: Effect.map(fleet.snapshot(maxAge), (snapshots) =>
        snapshots.flatMap(({ hive, inventory }) => inventory.workers.map((worker) => ({ hive, worker })))
      ),
      complete
    })
  })
).pipe(Layer.provide(CompletionForwarder.layerNoDeps))
