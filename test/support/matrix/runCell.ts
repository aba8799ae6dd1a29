import { assert } from "@effect/vitest"
import { Effect } from "effect"
import { logOf } from "../applications.ts"
import { ask, parseEvents } from "../daemon.ts"
import { until } from "../until.ts"
import { isBackToBaseline } from "./baseline.ts"
import type { Cell } from "./Cell.ts"
import { hasContiguousEvents, hasOutcome } from "./checks.ts"
import { clients } from "./clients.ts"
import { fault } from "./faults.ts"
import { MatrixFleet } from "./MatrixFleet.ts"
import { Undisturbed } from "./Undisturbed.ts"

const piecesBefore = 10

const runningJob = (url: string) =>
  until(
    Effect.map(ask(url, { path: "/v1/jobs" }), ({ text }): string | undefined => {
      const jobs: ReadonlyArray<Readonly<Record<string, string>>> = JSON.parse(text).jobs
      return jobs.find(({ state }) => state === "running" || state === "queued")?.["job_id"]
    }),
    (job) => job !== undefined
  ).pipe(Effect.map(String), Effect.orDie)

/** The answer has begun, and is far from its end. */
const isDecoding = (url: string, job: string) =>
  logOf(url, job, (log) => (log.match(/event: (token|chunk)/g)?.length ?? 0) >= piecesBefore)

const endOf = (url: string, job: string) =>
  until(
    Effect.map(ask(url, { path: `/v1/jobs/${job}` }), ({ text }): Readonly<Record<string, unknown>> =>
      JSON.parse(text)
    ),
    ({ state }) => state !== "queued" && state !== "running"
  ).pipe(Effect.orDie)

/** Brings a request into its phase, has the fault happen, and checks what comes of it. */
export const runCell = (cell: Cell) =>
  Effect.gen(function* () {
    const fleet = yield* MatrixFleet
    const undisturbed = (yield* Undisturbed)[cell.client]
    const asking = yield* clients[cell.client](fleet.clientProxy.url)
    const job = yield* runningJob(fleet.queen.url)
    yield* isDecoding(fleet.queen.url, job)
    const sent = asking.text()
    const from = performance.now()
    yield* fault(cell, fleet, asking)
    const isWhole = yield* asking.end
    const seconds = (performance.now() - from) / 1000
    const record = yield* endOf(fleet.queen.url, job)
    hasOutcome(cell, asking, isWhole, sent, undisturbed)
    assert.isBelow(seconds, cell.within)
    hasContiguousEvents(asking.events())
    hasContiguousEvents(parseEvents(yield* logOf(fleet.queen.url, job)))
    assert.strictEqual(record.state, cell.job)
    yield* isBackToBaseline(fleet)
  }).pipe(Effect.scoped)
