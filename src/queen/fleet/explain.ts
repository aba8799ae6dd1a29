import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import { Upstream } from "../../gateway/upstream/Upstream.ts"
import type { Explain } from "../../operation/fleetOperations.ts"
import { NotExplained } from "../scheduler/errors.ts"
import type { Explanation } from "../scheduler/Explanations.ts"
import { keyOf } from "../scheduler/Fleet.ts"
import { Scheduler } from "../scheduler/Scheduler.ts"
import { requirementsOf } from "./FleetUpstream.ts"

/** It was not said what is to be explained. */
export class ExplainNeeds extends Schema.TaggedError<ExplainNeeds>()("ExplainNeeds", {}) {
  override get message() {
    return "Say what is to be explained: 'job_id', or 'model' for what would be done now"
  }
}

const decided = ({ decision }: Explanation) => {
  switch (decision._tag) {
    case "Run":
      return { decision: "run", where: keyOf(decision.worker), shared_tokens: decision.sharedTokens }
    case "Place": {
      const where = `${decision.hive}/${decision.device}`
      return {
        decision: "load",
        where,
        memory_bytes: decision.memoryBytes,
        evict: decision.evict.map(keyOf).join(", ") || null
      }
    }
    case "Wait":
      return { decision: "wait", reason: decision.reason }
    case "Incapable":
      return { decision: "refuse", reason: `no engine is able to do what is needed: ${decision.capability}` }
    case "Failed":
    case "Impossible":
      return { decision: "refuse", reason: decision.reason }
  }
}

const sanitized = (explained: Explanation) => ({
  ...decided(explained),
  candidates: explained.candidates.map(({ evict, score, where, rejection: whyNot }) => ({
    where,
    score: score === undefined ? null : Math.round(score),
    why_not: whyNot ?? null,
    evict: evict === undefined || evict.length === 0 ? null : evict.join(", ")
  }))
})

/** Says what the scheduler looked at: for a job when it asked for a worker, for a model now. */
export const makeExplaining = Effect.gen(function* () {
  const scheduler = yield* Scheduler
  const upstream = yield* Upstream

  return Effect.fn("explain")(function* ({ job_id, model, prompt = "" }: Explain) {
    if (job_id !== undefined) {
      const explained = scheduler.explained(job_id)
      const last = explained.at(-1)
      if (last === undefined) return yield* new NotExplained({ job: job_id })
      return { job_id, attempts: explained.length, ...sanitized(last) }
    }
    if (model === undefined) return yield* new ExplainNeeds()
    const served = yield* upstream.find(model)
    return { model: served.id, ...sanitized(yield* scheduler.explain(requirementsOf(served, prompt, {}))) }
  })
})
