import { assert, describe, it } from "@effect/vitest"
import type { KnownHive } from "../../../src/queen/registry/HiveRecord.ts"
import { isOwnNetworkSuspect, ProbeSchedule } from "../../../src/queen/registry/ProbeSchedule.ts"

const hive = (alias: string, lastSeen?: number, source: "config" | "default" = "config"): KnownHive => ({
  record: { alias, url: "http://127.0.0.1:9", state: "active", source },
  peer: { url: "http://127.0.0.1:9" },
  workers: [],
  lastSeen
})

const take = (schedule: ProbeSchedule, hives: ReadonlyArray<KnownHive>, now: number) =>
  schedule.take(hives, now).map(({ record }) => record.alias)

describe("ProbeSchedule", () => {
  it("probes hives that were silent for an interval, and never an assumed localhost", () => {
    const hives = [
      hive("fresh", 901),
      hive("late", 900),
      hive("never"),
      hive("localhost", undefined, "default")
    ]
    assert.deepStrictEqual(take(new ProbeSchedule(100), hives, 1000), ["late", "never"])
  })

  it("probes a silent hive at most twice per interval", () => {
    const schedule = new ProbeSchedule(100)
    const hives = [hive("late")]
    const probed = [0, 25, 49, 50, 75, 100].filter((now) => take(schedule, hives, now).length > 0)
    assert.deepStrictEqual(probed, [0, 50, 100])
  })

  it("suspects this machine's network when three or more, and more than half, are lost", () => {
    assert.deepStrictEqual(
      [
        [2, 2],
        [3, 6],
        [3, 5],
        [4, 7]
      ].map(([lost = 0, seen = 0]) => isOwnNetworkSuspect(lost, seen)),
      [false, false, true, true]
    )
  })
})
