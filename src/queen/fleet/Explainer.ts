import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Schema from "effect/Schema"
import { type ModelUnknown, Upstream } from "../../gateway/upstream/Upstream.ts"
import type { Explain } from "../../operation/fleetOperations.ts"
import { NotExplained } from "../scheduler/errors.ts"
import type { Explanation } from "../scheduler/Explanations.ts"
import { keyOf } from "../scheduler/Fleet.ts"
import { Scheduler } from "../scheduler/Scheduler.ts"
import { modelRequirements } from "./modelRequirements.ts"

/** The request names neither a job nor a model. */
export class ExplainTargetMissing extends Schema.TaggedError<ExplainTargetMissing>()("ExplainNeeds", {}) {
  override get message() {
    return "Missing field: 'job_id' for a decision that was made, or 'model' for the decision now"
  }
}

const decisionJson = ({ decision }: Explanation) => {
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
      return { decision: "refuse", reason: `no engine has the needed capability: ${decision.capability}` }
    case "Failed":
    case "Impossible":
      return { decision: "refuse", reason: decision.reason }
  }
}

const explanationJson = (explanation: Explanation) => ({
  ...decisionJson(explanation),
  candidates: explanation.candidates.map(({ evict, score, where, rejection: whyNot }) => ({
    where,
    score: score === undefined ? null : Math.round(score),
    why_not: whyNot ?? null,
    evict: evict === undefined || evict.length === 0 ? null : evict.join(", ")
  }))
})

/** Reports scheduling decisions: the stored one for a job, or the current one for a model. */
export class Explainer extends Context.Service<
  Explainer,
  {
    readonly explain: (
      request: Explain
    ) => Effect.Effect<Schema.Json, ExplainTargetMissing | ModelUnknown | NotExplained>
  }
>()("rbee/queen/fleet/Explainer") {
  static readonly layerNoDeps = Layer.effect(
    Explainer,
    Effect.suspend(() => make)
  )
}

const make = Effect.gen(function* () {
  const scheduler = yield* Scheduler
  const upstream = yield* Upstream

  const explainJob = Effect.fnUntraced(function* (job: string) {
    const explanations = scheduler.explained(job)
    const last = explanations.at(-1)
    if (last === undefined) return yield* new NotExplained({ job })
    return { job_id: job, attempts: explanations.length, ...explanationJson(last) }
  })

  const explainModel = Effect.fnUntraced(function* (name: string, prompt: string) {
    const model = yield* upstream.find(name)
    const explanation = yield* scheduler.explain(modelRequirements(model, prompt, {}))
    return { model: model.id, ...explanationJson(explanation) }
  })

  return Explainer.of({
    explain: Effect.fn("Explainer.explain")(function* ({ job_id, model, prompt = "" }) {
      if (job_id !== undefined) return yield* explainJob(job_id)
      if (model === undefined) return yield* new ExplainTargetMissing()
      return yield* explainModel(model, prompt)
    })
  })
})
