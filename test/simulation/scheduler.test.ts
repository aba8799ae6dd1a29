import { assert, describe, it } from "@effect/vitest"
import type { SchedulerLimits } from "../../src/queen/scheduler/limits.ts"
import type { Message, Command } from "../../src/queen/scheduler/messages.ts"
import { SchedulerCore } from "../../src/queen/scheduler/SchedulerCore.ts"
import { BrokenInvariant, type Core, Simulation } from "./Simulation.ts"

const seeds = Number(process.env["RBEE_TEST_SEEDS"] ?? 250)
const hour = 3_600_000

describe("the scheduler in invented fleets", () => {
  it(`keeps its promises over ${seeds} seeds`, { timeout: 600_000 }, () => {
    let time = 0
    const counts = { run: 0, refused: 0, left: 0, loads: 0, deletes: 0, deaths: 0 }
    for (let seed = 0; seed < seeds; seed++) {
      const simulation = new Simulation(seed)
      time += simulation.run()
      counts.run += simulation.counts.run
      counts.refused += simulation.counts.refused
      counts.left += simulation.counts.left
      counts.loads += simulation.counts.loads
      counts.deletes += simulation.counts.deletes
      counts.deaths += simulation.counts.deaths
    }
    process.stdout.write(`${Math.round(time / hour)} hours of fleets: ${JSON.stringify(counts)}\n`)
    for (const [what, count] of Object.entries(counts)) assert.isAbove(count, seeds / 10, what)
  })

  it("plays the same fleet for the same seed", () => {
    const [first, second] = [new Simulation(7), new Simulation(7)]
    assert.strictEqual(first.run(), second.run())
    assert.deepStrictEqual(first.counts, second.counts)
  })
})

type Handle = (
  message: Message,
  now: number,
  pass: (message: Message) => ReadonlyArray<Command>
) => ReadonlyArray<Command>

/** The scheduler with a bug between it and the fleet. */
const withBug =
  (handle: Handle, changed: Partial<SchedulerLimits> = {}) =>
  (given: SchedulerLimits): Core => {
    const core = new SchedulerCore({ ...given, ...changed })
    return {
      handle: (message, now) => handle(message, now, (message) => core.handle(message, now)),
      explain: (wish, now) => core.explain(wish, now),
      get load() {
        return core.load
      }
    }
  }

const correct: Handle = (message, _now, pass) => pass(message)
const every = (count: number) => {
  let seen = 0
  return () => ++seen % count === 0
}

const bugs: Readonly<Record<string, () => (limits: SchedulerLimits) => Core>> = {
  "an end that is not heard of": () => {
    const isTurn = every(20)
    return withBug((message, _now, pass) => (message._tag === "Ended" && isTurn() ? [] : pass(message)))
  },
  "a request that is forgotten": () => {
    const isTurn = every(20)
    return withBug((message, _now, pass) => (message._tag === "Asked" && isTurn() ? [] : pass(message)))
  },
  "a request that is answered twice": () => {
    const isTurn = every(20)
    return withBug((message, _now, pass) =>
      pass(message).flatMap((order) => (order._tag === "Run" && isTurn() ? [order, order] : [order]))
    )
  },
  "a slot too many": () =>
    withBug((message, _now, pass) =>
      pass(
        message._tag === "Loaded"
          ? { ...message, worker: { ...message.worker, slots: message.worker.slots + 1 } }
          : message
      )
    ),
  "memory that is counted twice": () =>
    withBug((message, _now, pass) =>
      pass(
        message._tag === "Fleet"
          ? {
              ...message,
              hives: message.hives.map((hive) => ({
                ...hive,
                devices: hive.devices.map((device) => ({ ...device, freeBytes: device.totalBytes }))
              }))
            }
          : message
      )
    ),
  "workers that go as soon as they came": () => withBug(correct, { minResidency: 0 }),
  "nobody starves, as it thinks": () => withBug(correct, { starvationBound: Number.POSITIVE_INFINITY }),
  "a queue without an end": () => withBug(correct, { queueLength: Number.POSITIVE_INFINITY }),
  "deadlines that pass unseen": () =>
    withBug((message, _now, pass) =>
      pass(
        message._tag === "Asked"
          ? { ...message, request: { ...message.request, deadline: Number.POSITIVE_INFINITY } }
          : message
      )
    ),
  "a refusal before its time": () =>
    withBug((message, _now, pass) =>
      pass(
        message._tag === "Asked"
          ? { ...message, request: { ...message.request, deadline: message.request.deadline - 5_000 } }
          : message
      )
    )
}

describe("the simulation", () => {
  for (const [name, bug] of Object.entries(bugs)) {
    it(`finds ${name}`, { timeout: 60_000 }, () => {
      const broken = Array.from({ length: 60 }, (_, seed) => seed).some((seed) => {
        try {
          new Simulation(seed, bug()).run()
          return false
        } catch (error) {
          if (error instanceof BrokenInvariant) return true
          throw error
        }
      })
      assert.isTrue(broken)
    })
  }
})
