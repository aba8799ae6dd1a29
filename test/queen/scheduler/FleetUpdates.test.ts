import { assert, describe, it } from "@effect/vitest"
import { Clock, Effect } from "effect"
import { TestClock } from "effect/testing"
import { FleetUpdates } from "../../../src/queen/scheduler/FleetUpdates.ts"
import { FleetView } from "../../../src/queen/scheduler/FleetView.ts"
import type { HiveSnapshot } from "../../../src/queen/scheduler/HiveSnapshot.ts"
import { listedWorker, snapshot } from "../../support/fleetRuns.ts"

const idle = { waiting: 0, requests: 0, tokens: 0, loading: 0 }

/** Updates of a fleet whose view is `known`; notes the requested ages, and what the driver gets. */
const updatesOf = Effect.fnUntraced(function* () {
  const ages: Array<number> = []
  const reports: Array<string> = []
  const state: { known: ReadonlyArray<HiveSnapshot>; load: typeof idle } = {
    known: [snapshot("atlas", { workers: [listedWorker("w1", "m")] })],
    load: idle
  }
  const fleet = FleetView.of({
    hasElsewhere: () => true,
    snapshot: (maxAge) =>
      Effect.sync(() => {
        ages.push(maxAge)
        return state.known
      }),
    refresh: Effect.die("no refresh is needed")
  })
  const core = {
    get load() {
      return state.load
    }
  }
  const driver = {
    report: ({ _tag }: { readonly _tag: string }) => Effect.sync(() => void reports.push(_tag)),
    reportPositions: Effect.sync(() => void reports.push("positions"))
  }
  const updates = new FleetUpdates(fleet, core, driver, yield* Clock.Clock)
  return { ages, reports, state, updates }
})

describe("FleetUpdates", () => {
  it.effect("report the fleet when the view has changed, and only then", () =>
    Effect.gen(function* () {
      const { ages, reports, state, updates } = yield* updatesOf()
      yield* updates.update
      yield* updates.update
      assert.deepStrictEqual(reports, ["Fleet"])
      state.known = [...state.known]
      yield* updates.update
      assert.deepStrictEqual(reports, ["Fleet", "Fleet"])
      assert.deepStrictEqual(ages, [1_000, 1_000, 1_000])
    })
  )

  it.effect("use any view for a model that a worker serves, and a recent one for others", () =>
    Effect.gen(function* () {
      const { ages, updates } = yield* updatesOf()
      yield* updates.updateFor("m")
      yield* updates.updateFor("m")
      yield* updates.updateFor("n")
      assert.deepStrictEqual(ages, [1_000, Number.POSITIVE_INFINITY, 1_000])
    })
  )

  it.effect("send a tick and positions every half second, and update an idle fleet every five seconds", () =>
    Effect.gen(function* () {
      const { ages, reports, updates } = yield* updatesOf()
      yield* Effect.forkChild(updates.rounds, { startImmediately: true })
      yield* TestClock.adjust("500 millis")
      assert.deepStrictEqual(reports, ["Fleet", "Tick", "positions"])
      yield* TestClock.adjust("4500 millis")
      assert.lengthOf(ages, 1)
      assert.strictEqual(reports.filter((report) => report === "Tick").length, 10)
      yield* TestClock.adjust("500 millis")
      assert.deepStrictEqual(ages, [250, 250])
    })
  )

  it.effect("update the view every half second while requests wait or workers load", () =>
    Effect.gen(function* () {
      for (const load of [
        { ...idle, waiting: 1 },
        { ...idle, loading: 1 }
      ]) {
        const { ages, state, updates } = yield* updatesOf()
        state.load = load
        yield* Effect.forkChild(updates.rounds, { startImmediately: true })
        yield* TestClock.adjust("1500 millis")
        assert.deepStrictEqual(ages, [250, 250, 250])
      }
    })
  )
})
