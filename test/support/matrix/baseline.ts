import { execFile } from "node:child_process"
import { assert } from "@effect/vitest"
import { Effect } from "effect"
import { ask } from "../daemon.ts"
import { until } from "../until.ts"
import { model, type MatrixFleet } from "./MatrixFleet.ts"

interface Listed {
  readonly operation: string
  readonly state: string
}

const isOver = ({ operation, state }: Listed) =>
  operation === "worker_list" || ["completed", "failed", "cancelled"].includes(state)

const jobsOf = (url: string) =>
  Effect.map(ask(url, { path: "/v1/jobs" }), ({ text }): ReadonlyArray<Listed> => JSON.parse(text).jobs)

/** The processes that serve the model's file in the home of a hive. */
const processesOf = (home: string) =>
  Effect.callback<ReadonlyArray<number>>((resume) => {
    execFile("ps", ["-A", "-ww", "-o", "pid=,args="], (_, printed) => {
      const found = printed.split("\n").filter((line) => line.includes(`${home}/data/models/${model}`))
      resume(Effect.succeed(found.map((line) => Number.parseInt(line, 10))))
    })
  })

/** No job is unfinished, all workers are ready and do nothing, and no other process serves the model. */
export const isBackToBaseline = Effect.fnUntraced(function* ({
  hive,
  hiveHome,
  queen,
  workers
}: MatrixFleet["Service"]) {
  const ready = yield* until(workers, (listed) => listed.every(({ state }) => state === "ready")).pipe(
    Effect.orDie
  )
  for (const { url } of [queen, hive])
    yield* until(jobsOf(url), (jobs) => jobs.every(isOver)).pipe(Effect.orDie)
  for (const { port } of ready) {
    const health = ask(`http://127.0.0.1:${port}`, { path: "/health" })
    yield* until(health, ({ text }) => JSON.parse(text).busy === 0).pipe(Effect.orDie)
  }
  assert.isNotEmpty(ready)
  assert.sameMembers(
    [...(yield* processesOf(hiveHome))],
    ready.map(({ pid }) => Number(pid))
  )
})
