import { assert, describe, it } from "@effect/vitest"
import { Effect, Layer } from "effect"
import { ModelUnknown, pickModel, publicModels, Upstream } from "../../../src/gateway/upstream/Upstream.ts"
import { Explain } from "../../../src/operation/fleetOperations.ts"
import { Explainer, ExplainTargetMissing } from "../../../src/queen/fleet/Explainer.ts"
import type { Decision } from "../../../src/queen/scheduler/decide.ts"
import { NotExplained } from "../../../src/queen/scheduler/errors.ts"
import type { Explanation } from "../../../src/queen/scheduler/Explanations.ts"
import { Scheduler } from "../../../src/queen/scheduler/Scheduler.ts"
import { worker } from "../../support/fleetFakes.ts"
import { storedModel } from "../../support/gateway.ts"

const models = publicModels([{ hive: "atlas", models: [storedModel("rbee:tiny")] }], {})
const upstream = Layer.mock(Upstream)({
  find: (name) => Effect.fromResult(pickModel(models, name)),
  complete: () => () => Effect.die("explaining sends no request")
})

const job = "job-00000000-0000-0000-0000-000000000001"
const otherJob = "job-00000000-0000-0000-0000-000000000002"

const explain = (request: Explain, explanations: ReadonlyArray<Explanation>) => {
  const scheduler = Layer.mock(Scheduler)({
    explained: (id) => (id === job ? explanations : []),
    explain: () =>
      explanations[0] === undefined ? Effect.die("nothing to explain") : Effect.succeed(explanations[0])
  })
  return Explainer.use((explainer) => explainer.explain(request)).pipe(
    Effect.provide(Layer.provide(Explainer.layerNoDeps, [scheduler, upstream]))
  )
}

const of = (decision: Decision): Explanation => ({ decision, candidates: [] })

describe("Explainer", () => {
  it.effect("reports the last decision for a job, and the number of its attempts", () =>
    Effect.gen(function* () {
      const run: Explanation = {
        decision: { _tag: "Run", worker: worker("w2"), sharedTokens: 7 },
        candidates: [
          { where: "atlas/w1", rejection: "it is starting" },
          { where: "atlas/w2", score: 3.7 },
          { where: "atlas/gpu-0", score: 1, evict: ["atlas/w1"] }
        ]
      }
      const waiting = of({ _tag: "Wait", reason: "no room" })
      assert.deepStrictEqual(yield* explain(new Explain({ job_id: job }), [waiting, run]), {
        job_id: job,
        attempts: 2,
        decision: "run",
        where: "atlas/w2",
        shared_tokens: 7,
        candidates: [
          { where: "atlas/w1", score: null, why_not: "it is starting", evict: null },
          { where: "atlas/w2", score: 4, why_not: null, evict: null },
          { where: "atlas/gpu-0", score: 1, why_not: null, evict: "atlas/w1" }
        ]
      })
    })
  )

  it.effect("reports each kind of decision for a model", () =>
    Effect.gen(function* () {
      const place = { _tag: "Place", hive: "atlas", device: "gpu-0", memoryBytes: 5 } as const
      const cases: ReadonlyArray<readonly [Decision, object]> = [
        [
          { ...place, evict: [worker("w1"), worker("w2")] },
          { decision: "load", where: "atlas/gpu-0", memory_bytes: 5, evict: "atlas/w1, atlas/w2" }
        ],
        [
          { ...place, evict: [] },
          { decision: "load", where: "atlas/gpu-0", memory_bytes: 5, evict: null }
        ],
        [
          { _tag: "Wait", reason: "all are busy" },
          { decision: "wait", reason: "all are busy" }
        ],
        [
          { _tag: "Impossible", reason: "no file" },
          { decision: "refuse", reason: "no file" }
        ],
        [
          { _tag: "Failed", reason: "it crashed", until: 1 },
          { decision: "refuse", reason: "it crashed" }
        ],
        [
          { _tag: "Incapable", capability: "tools" },
          { decision: "refuse", reason: "no engine has the needed capability: tools" }
        ]
      ]
      for (const [decision, expected] of cases) {
        const explained = yield* explain(new Explain({ model: "tiny" }), [of(decision)])
        assert.deepStrictEqual(explained, { model: "rbee:tiny", ...expected, candidates: [] })
      }
    })
  )

  it.effect("fails for an unknown job, an unknown model, and a request with neither", () =>
    Effect.gen(function* () {
      const failure = (request: Explain) => Effect.flip(explain(request, []))
      assert.deepStrictEqual(
        yield* failure(new Explain({ job_id: otherJob })),
        new NotExplained({ job: otherJob })
      )
      assert.deepStrictEqual(
        yield* failure(new Explain({ model: "other" })),
        new ModelUnknown({ model: "other", known: ["rbee:tiny"] })
      )
      const missing = yield* failure(new Explain({}))
      assert.deepStrictEqual(missing, new ExplainTargetMissing())
      assert.include(missing.message, "'job_id'")
    })
  )
})
