import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { bugs } from "./jobs/bugs.ts"
import { simulate, type Story } from "./jobs/JobSimulation.ts"
import { brokenPromise } from "./jobs/promises.ts"

const seeds = Number(process.env["RBEE_TEST_SEEDS"] ?? 150)

/** What happened in the stories that are told, so that a simulation in which nothing happens is noticed. */
class Counts {
  readonly of = new Map<string, number>()

  add(what: string, count = 1) {
    this.of.set(what, (this.of.get(what) ?? 0) + count)
  }

  addStory({ clients, faults, jobs, requests, restarts }: Story) {
    this.add("requests", requests.length)
    this.add("restarts", restarts)
    for (const [fault, count] of faults) this.add(fault, count)
    for (const { events, record } of jobs) {
      const { operation, state } = record
      if (operation === "probe") continue
      this.add(state === "cancelled" ? `cancelled ${events.at(-1)?.json}` : state)
    }
    for (const { end, error, hasLeft } of clients.followers) {
      if (end !== undefined) this.add("followed to the end")
      if (error !== undefined) this.add("lost")
      if (hasLeft) this.add("left")
    }
  }
}

const happens = [
  "requests",
  "restarts",
  "completed",
  "failed",
  'cancelled {"confirmed":true}',
  "followed to the end",
  "lost",
  "left",
  "Refused",
  "NoConnection",
  "RequestLost",
  "AnswerLost",
  "Mute",
  "Slow",
  "Proxy",
  "Reset",
  "HungUp",
  "Silent",
  "Repeats"
] as const

describe("jobs over a network with faults", () => {
  it.live(
    `keep their promises over ${seeds} seeds`,
    () =>
      Effect.gen(function* () {
        const counts = new Counts()
        for (let seed = 0; seed < seeds; seed++) {
          const story = yield* simulate(seed)
          const broken = brokenPromise(story)
          if (broken !== undefined) assert.fail(`seed ${seed}: ${broken}`)
          counts.addStory(story)
        }
        process.stdout.write(`${JSON.stringify(Object.fromEntries(counts.of))}\n`)
        for (const what of happens) assert.isAbove(counts.of.get(what) ?? 0, seeds / 50, what)
      }),
    { timeout: 3_600_000 }
  )

  it.live("are the same for the same seed", () =>
    Effect.gen(function* () {
      const told = Effect.map(simulate(12), ({ clients, executions, faults, jobs }) => ({
        faults,
        events: jobs.map(({ daemon, events, record }) => [
          daemon,
          record.operation,
          record.ended_at,
          events.length
        ]),
        executions: executions.all.map(({ endedAt, plan, startedAt }) => [plan.id, startedAt, endedAt]),
        followers: clients.followers.map(({ endedAt, events, lastByteAt }) => [
          events.length,
          lastByteAt,
          endedAt
        ])
      }))
      assert.deepStrictEqual(yield* told, yield* told)
    })
  )

  for (const [name, [bug, sentence]] of Object.entries(bugs)) {
    it.live(
      `show ${name}`,
      () =>
        Effect.gen(function* () {
          const found: Array<string> = []
          for (let seed = 0; seed < 60 && !found.some((broken) => sentence.test(broken)); seed++) {
            found.push(brokenPromise(yield* simulate(seed, bug)) ?? "")
          }
          assert.match(found.at(-1) ?? "", sentence)
        }),
      { timeout: 120_000 }
    )
  }
})
