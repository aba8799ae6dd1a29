import { assert, describe, it } from "@effect/vitest"
import { Effect, Layer } from "effect"
import { ModelUnknown, Upstream } from "../../../src/gateway/upstream/Upstream.ts"
import { fleetUpstream } from "../../../src/queen/fleet/FleetUpstream.ts"
import { HiveAttempt } from "../../../src/queen/fleet/HiveAttempt.ts"
import { FleetView } from "../../../src/queen/scheduler/FleetView.ts"
import { Scheduler } from "../../../src/queen/scheduler/Scheduler.ts"
import { Settings } from "../../../src/settings/Settings.ts"
import { listedWorker, snapshot } from "../../support/fleetRuns.ts"
import { storedModel } from "../../support/gateway.ts"

const old = [snapshot("atlas", { models: [storedModel("rbee:tiny")], workers: [listedWorker("w1")] })]
const current = [snapshot("atlas", { models: [storedModel("rbee:tiny"), storedModel("hf:a/b")] })]

/** The upstream of a fleet that got a second model after its last snapshot; notes what is asked of the view. */
const withUpstream = Effect.fnUntraced(function* <A, E>(
  use: (upstream: Upstream["Service"], asked: ReadonlyArray<number | "refresh">) => Effect.Effect<A, E>
) {
  const asked: Array<number | "refresh"> = []
  const fleet = Layer.succeed(
    FleetView,
    FleetView.of({
      hasElsewhere: () => true,
      snapshot: (maxAge) =>
        Effect.as(
          Effect.sync(() => asked.push(maxAge)),
          old
        ),
      refresh: Effect.as(
        Effect.sync(() => asked.push("refresh")),
        current
      )
    })
  )
  const layer = Layer.provide(fleetUpstream, [
    fleet,
    Layer.mock(Scheduler)({ explained: () => [] }),
    Layer.mock(HiveAttempt)({}),
    Settings.layerDefaults()
  ])
  return yield* Upstream.use((upstream) => use(upstream, asked)).pipe(Effect.provide(layer))
})

describe("fleetUpstream", () => {
  it.effect("finds a known model in any snapshot, and requests inventories only for an unknown one", () =>
    withUpstream(
      Effect.fnUntraced(function* (upstream, asked) {
        assert.strictEqual((yield* upstream.find("tiny")).id, "rbee:tiny")
        assert.deepStrictEqual(asked, [Number.POSITIVE_INFINITY])
        assert.strictEqual((yield* upstream.find("hf:a/b")).id, "hf:a/b")
        assert.deepStrictEqual(asked.slice(1), [Number.POSITIVE_INFINITY, "refresh"])
        assert.deepStrictEqual(
          yield* Effect.flip(upstream.find("other")),
          new ModelUnknown({ model: "other", known: ["rbee:tiny", "hf:a/b"] })
        )
      })
    )
  )

  it.effect("lists models and workers with their hives, at most two seconds old", () =>
    withUpstream(
      Effect.fnUntraced(function* (upstream, asked) {
        assert.deepStrictEqual(
          (yield* upstream.models).map(({ name }) => name),
          ["rbee:tiny"]
        )
        assert.deepStrictEqual(yield* upstream.workers, [{ hive: "atlas", worker: listedWorker("w1") }])
        assert.deepStrictEqual(asked, [2_000, 2_000])
      })
    )
  )
})
