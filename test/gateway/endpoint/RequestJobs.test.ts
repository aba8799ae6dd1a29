import { assert, describe, it } from "@effect/vitest"
import { Deferred, Effect, Exit, Layer, Option, Scope } from "effect"
import {
  type AcceptedRequest,
  type RequestJob,
  RequestJobs
} from "../../../src/gateway/endpoint/RequestJobs.ts"
import { type GatewayRequest, publicModels, Upstream } from "../../../src/gateway/upstream/Upstream.ts"
import { Jobs } from "../../../src/job/Jobs.ts"
import { Ticker } from "../../../src/job/log/Follower.ts"
import { isEnd, JobEvent, type LoggedEvent } from "../../../src/job/log/JobEvent.ts"
import type { Work } from "../../../src/job/Submission.ts"
import { Settings } from "../../../src/settings/Settings.ts"
import { storedModel } from "../../support/gateway.ts"

const [model] = publicModels([{ hive: "atlas", models: [storedModel("rbee:tiny")] }], {})

const accepted = (more: Partial<AcceptedRequest["request"]> = {}): AcceptedRequest => ({
  request: {
    model: "tiny",
    api: "completions",
    body: { prompt: "Hi" },
    reply: { _tag: "Document", toText: (text) => text },
    ...more
  },
  model: model ?? assert.fail("there is no model"),
  prompt: "Hi",
  key: undefined,
  waitMs: 1500
})

const running = (complete: (request: GatewayRequest) => Work) =>
  RequestJobs.layerNoDeps.pipe(
    Layer.provide(Layer.mock(Upstream)({ complete })),
    Layer.provideMerge(Jobs.layer),
    Layer.provide([Ticker.layer, Settings.layerDefaults()])
  )

const start = (request: AcceptedRequest) => RequestJobs.use((jobs) => jobs.start(request))

/** All events that the job has until its end. */
const eventsUntilEnd = (pull: RequestJob["pull"]) =>
  Effect.gen(function* () {
    const events: Array<LoggedEvent> = []
    while (!events.some(({ kind }) => isEnd(kind))) events.push(...(yield* pull))
    return events
  })

const stateOf = (id: string) =>
  Effect.map(
    Jobs.use((jobs) => jobs.get(id)),
    ({ state }) => state
  )

describe("RequestJobs", () => {
  it.live("runs the request through the upstream and knows its placement", () => {
    const requests: Array<GatewayRequest> = []
    const layer = running((request) => {
      requests.push(request)
      return (_job, emit) => {
        request.onPlaced({ hive: "atlas", worker: "tiny-1", queueMs: 1, loadMs: 2 })
        request.onRestarted(7)
        return emit([new JobEvent("chunk", "{}")])
      }
    })
    return Effect.gen(function* () {
      const job = yield* start(accepted())
      assert.deepInclude(job.context, { model: "tiny" })
      const events = yield* eventsUntilEnd(job.pull)
      assert.deepStrictEqual(
        events.map(({ kind }) => kind),
        ["narration", "chunk", "done"]
      )
      assert.strictEqual(job.context.placement()?.worker, "tiny-1")
      assert.strictEqual(job.restartedAfter(), 7)
      assert.lengthOf(requests, 1)
      assert.deepInclude(requests[0], {
        api: "completions",
        body: { prompt: "Hi" },
        key: "",
        priority: 0,
        waitMs: 1500,
        isStreamed: false
      })
    }).pipe(Effect.scoped, Effect.provide(layer))
  })

  it.live("narrates the omitted parts of the request before the work begins", () => {
    const layer = running(() => (_job, emit) => emit([new JobEvent("chunk", "{}")]))
    return Effect.gen(function* () {
      const { context, pull } = yield* start(accepted({ notes: ["Ignored the tool 'web_search'"] }))
      const [, note, chunk] = yield* eventsUntilEnd(pull)
      assert.deepStrictEqual(JSON.parse(note?.json ?? ""), {
        actor: "gateway",
        action: "omit",
        message: "Ignored the tool 'web_search'",
        job_id: context.jobId
      })
      assert.strictEqual(chunk?.kind, "chunk")
    }).pipe(Effect.scoped, Effect.provide(layer))
  })

  it.live("cancels the job when the scope closes before the job ends", () => {
    const stopped = Deferred.makeUnsafe<void>()
    const layer = running(
      () => () => Effect.onInterrupt(Effect.never, () => Deferred.succeed(stopped, undefined))
    )
    return Effect.gen(function* () {
      const scope = yield* Scope.make()
      const { context, pull } = yield* Scope.provide(start(accepted()), scope)
      yield* pull
      yield* Scope.close(scope, Exit.void)
      assert.isTrue(Option.isSome(yield* Effect.timeoutOption(Deferred.await(stopped), "2 seconds")))
      assert.strictEqual(yield* stateOf(context.jobId), "cancelled")
    }).pipe(Effect.provide(layer))
  })

  it.live("leaves a job alone that has ended", () => {
    const layer = running(() => () => Effect.void)
    return Effect.gen(function* () {
      const scope = yield* Scope.make()
      const { context, pull } = yield* Scope.provide(start(accepted()), scope)
      yield* eventsUntilEnd(pull)
      yield* Scope.close(scope, Exit.void)
      assert.strictEqual(yield* stateOf(context.jobId), "completed")
    }).pipe(Effect.provide(layer))
  })
})
