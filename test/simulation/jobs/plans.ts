import { JobEvent } from "../../../src/job/log/JobEvent.ts"
import { Operation } from "../../../src/operation/Operation.ts"
import { type Routing, unknownOperation } from "../../../src/operation/Routing.ts"
import type { Random } from "../../support/Random.ts"

/** A piece of work on a hive. */
export interface Step {
  readonly wait: number
  readonly events: ReadonlyArray<JobEvent>
}

/** One request, and what the hive does for it. */
export interface Plan {
  readonly id: string
  readonly operation: string
  readonly routing: Routing
  readonly hive: string
  readonly json: string
  readonly steps: ReadonlyArray<Step>
  /** The text of all its events. */
  readonly text: string
  readonly ends: "well" | "badly"
  /** Whether the work ends by itself when the hive cancels it, as an answer of a worker, or is interrupted. */
  readonly stopsItself: boolean
  /** How long it takes until the work has stopped, in milliseconds. */
  readonly stopTakes: number
}

const routingOf = {
  infer: Operation.cases.infer.routing,
  worker_list: Operation.cases.worker_list.routing,
  worker_spawn: Operation.cases.worker_spawn.routing,
  worker_logs: Operation.cases.worker_logs.routing,
  model_download: Operation.cases.model_download.routing,
  greet: unknownOperation
} as const

const operations = [
  "infer",
  "infer",
  "infer",
  "worker_list",
  "worker_spawn",
  "worker_logs",
  "model_download",
  "greet"
] as const
const pieces = ["a", "é", "蜂", "🐝", "\n", "\r\n", " ", '"', "data: "] as const

/** How long the work of a plan takes at most, in milliseconds. */
export const maxWork = 60_000

/** A request to one of the hives, as the random numbers decide. */
export const nextPlan = (random: Random, id: string, hives: ReadonlyArray<string>): Plan => {
  const operation = random.pick(operations)
  const hive = random.pick(hives)
  const pace = random.pick([0, 20, 200, 2_000, 6_000])
  let text = ""
  const steps = Array.from({ length: random.whole(0, 10) }, (_, step): Step => {
    const events = Array.from({ length: random.whole(0, 3) }, (_, event) => {
      const token = `${id}.${step}.${event}${random.pick(pieces)}`
      text += token
      return JobEvent.token(token)
    })
    return { wait: pace === 0 ? 0 : random.whole(0, pace), events }
  })
  return {
    id,
    operation,
    routing: routingOf[operation],
    hive,
    json: JSON.stringify({ operation, hive_id: hive, plan: id }),
    steps,
    text,
    ends: random.chance(0.85) ? "well" : "badly",
    stopsItself: random.chance(0.5),
    stopTakes: random.pick([0, 10, 1_500])
  }
}
