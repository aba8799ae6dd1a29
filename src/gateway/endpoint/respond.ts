import * as Cause from "effect/Cause"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as HttpServerRequest from "effect/http/HttpServerRequest"
import * as HttpServerResponse from "effect/http/HttpServerResponse"
import * as Option from "effect/Option"
import * as Pull from "effect/Pull"
import * as Schema from "effect/Schema"
import { Caller } from "../../daemon/Caller.ts"
import { fromScopedPull } from "../../http/fromScopedPull.ts"
import { requestText } from "../../http/readBody.ts"
import { acquireRelease, addFinalizer } from "../../http/scopeFinalizers.ts"
import { InternalError } from "../../job/errors.ts"
import { Jobs } from "../../job/Jobs.ts"
import { pullBatches, Ticker } from "../../job/log/Follower.ts"
import { isEnd, JobEvent, type LoggedEvent, readFailure } from "../../job/log/JobEvent.ts"
import type { Work } from "../../job/Submission.ts"
import { Complete } from "../../operation/inferenceOperations.ts"
import { Settings } from "../../settings/Settings.ts"
import { withoutHiddenModels, KeyLimits, mayUse, ModelForbidden } from "../keys/KeyLimits.ts"
import { TokenMeter } from "../keys/TokenMeter.ts"
import { ModelFinder } from "../upstream/ModelFinder.ts"
import { Unloader } from "../upstream/Unloader.ts"
import { type Placement, type ServedModel, Upstream } from "../upstream/Upstream.ts"
import { mergeEmbeddings } from "./embeddings.ts"
import { type ResponseContext, type Endpoint, type EndpointRequest, InvalidRequest } from "./Endpoint.ts"
import { assemble } from "./EngineAnswer.ts"
import { parse, refuse } from "./errorResponses.ts"
import { fromError, fromFailure, withFieldNames } from "./failures.ts"
import { type GatewayError } from "./GatewayError.ts"
import { withModelDefaults } from "./modelDefaults.ts"

const router = "gateway"

const Deadline = Schema.FiniteFromString.check(
  Schema.isInt(),
  Schema.isBetween({ minimum: 1, maximum: 86_400_000 })
)
const readDeadline = Schema.decodeUnknownOption(Deadline)

const deadlineOf = ({ headers }: HttpServerRequest.HttpServerRequest) => {
  const value = headers["x-rbee-deadline-ms"]
  if (value === undefined) return Effect.undefined
  return Option.match(readDeadline(value), {
    onSome: (millis) => Effect.succeed(millis),
    onNone: () =>
      Effect.fail(
        new InvalidRequest({
          reason: "x-rbee-deadline-ms must be an integer number of milliseconds, at most 86400000 (one day)"
        })
      )
  })
}

const textOf = ({ body: { input, messages, prompt } }: EndpointRequest) =>
  typeof prompt === "string" ? prompt : JSON.stringify(messages ?? prompt ?? input ?? "")

const headersOf = (jobId: string, placement: Placement | undefined) => ({
  "cache-control": "no-cache",
  "x-rbee-job-id": jobId,
  ...(placement === undefined
    ? {}
    : {
        "x-rbee-hive": placement.hive,
        "x-rbee-worker": placement.worker,
        "x-rbee-queue-ms": String(Math.round(placement.queueMs)),
        "x-rbee-load-ms": String(Math.round(placement.loadMs))
      })
})

const withNotes =
  ({ notes = [] }: EndpointRequest, work: Work): Work =>
  (job, emit) =>
    notes.length === 0
      ? work(job, emit)
      : Effect.andThen(
          emit(notes.map((note) => JobEvent.narration(router, "omit", note, job.id))),
          work(job, emit)
        )

const hasContent = ({ kind }: LoggedEvent) => kind === "chunk" || kind === "result" || isEnd(kind)

const cancelled: GatewayError = fromFailure({
  code: "JobCancelled",
  message: "The request was cancelled by another client"
})

const unreadable: GatewayError = fromFailure({
  code: "InvalidResponse",
  message: "The engine sent an unexpected response; see its log (rbee worker logs)"
})

/** The failure of a job, read from its end event; undefined if the job is done. */
const failureOf = ({ json, kind }: LoggedEvent): GatewayError | undefined => {
  if (kind === "done") return undefined
  if (kind === "cancelled") return cancelled
  const failure = readFailure(json)
  return fromFailure(
    Option.isSome(failure) ? failure.value.error : { code: "JobFailed", message: "The request failed" }
  )
}

/** Handles the requests of an endpoint: each runs as a job, which is cancelled when its client disconnects. */
export const makeAnswering = Effect.gen(function* () {
  const jobs = yield* Jobs
  const ticker = yield* Ticker
  const upstream = yield* Upstream
  const finder = yield* ModelFinder
  const keyLimits = yield* KeyLimits
  const settings = yield* Settings
  const clock = yield* Clock.Clock
  const unloader = yield* Unloader
  const { routing } = Complete

  const run = Effect.fnUntraced(function* (
    { fieldNames, format }: Endpoint,
    endpointRequest: EndpointRequest,
    model: ServedModel,
    waitMs: number | undefined,
    prompt: string,
    meter: TokenMeter
  ) {
    const { key } = yield* Caller
    let placement: Placement | undefined
    let restartedAfter = 0
    const askedAt = clock.currentTimeMillisUnsafe()
    const work = upstream.complete({
      model,
      api: endpointRequest.api,
      body: endpointRequest.body,
      prompt,
      contextSize: endpointRequest.contextSize,
      isCount: endpointRequest.isCount,
      key: key?.id ?? "",
      priority: key?.priority ?? 0,
      waitMs,
      isStreamed: endpointRequest.reply._tag === "Stream",
      onRestarted: (after) => {
        restartedAfter = after
      },
      onPlaced: (found) => {
        placement = found
      }
    })
    const submission = { operation: "complete", routing, router, work: withNotes(endpointRequest, work) }
    let hasEnded = false
    // A client that disconnects cancels its job.
    const { job_id: jobId } = yield* acquireRelease(jobs.submit(submission), ({ job_id }) =>
      hasEnded ? Effect.void : Effect.ignore(jobs.cancel(job_id))
    )
    const { log } = yield* Effect.orDie(jobs.follow(jobId))
    const batch = (events: ReadonlyArray<LoggedEvent>) => {
      const last = events.at(-1)
      if (last !== undefined && isEnd(last.kind)) hasEnded = true
      return events
    }
    const pull = yield* pullBatches({ log, ticker }, 0, batch)
    const context: ResponseContext = {
      jobId,
      model: endpointRequest.model,
      askedAt,
      now: () => clock.currentTimeMillisUnsafe(),
      placement: () => placement
    }

    const untilContent: Pull.Pull<ReadonlyArray<LoggedEvent>> = Effect.suspend(() =>
      Effect.flatMap(pull, (events) => (events.some(hasContent) ? Effect.succeed(events) : untilContent))
    )
    const first = yield* untilContent
    const end = first.find(({ kind }) => isEnd(kind))
    const earlyFailure = end === undefined ? undefined : failureOf(end)
    const hasBegun = first.find(hasContent) !== end
    const { reply } = endpointRequest
    const failed = (error: GatewayError) => {
      const failure = withFieldNames(error, fieldNames)
      const headers = headersOf(jobId, placement)
      const answer = reply._tag === "Complete" ? reply.fromFailure?.(failure) : undefined
      return answer === undefined
        ? refuse(format, failure, headers)
        : HttpServerResponse.jsonUnsafe(answer, { headers })
    }
    if (earlyFailure !== undefined && !hasBegun) return failed(earlyFailure)

    if (reply._tag === "Stream") {
      const writer = reply.writer(context)
      const write = (events: ReadonlyArray<LoggedEvent>) => {
        if (events.length === 0) return Buffer.from(reply.idle)
        let text = ""
        for (const event of events) {
          if (event.kind === "chunk") {
            meter.note(event.json)
            text += writer.chunk(event.json)
          } else if (isEnd(event.kind)) {
            const failure = failureOf(event)
            text += failure === undefined ? writer.end() : writer.failed(failure)
          }
        }
        return Buffer.from(text)
      }
      let next: ReadonlyArray<LoggedEvent> | undefined = first
      const bytes = Effect.suspend(() => {
        const events = next
        next = undefined
        return Effect.map(
          events === undefined ? pull : Effect.succeed(events),
          (events) => [write(events)] as const
        )
      })
      return HttpServerResponse.stream(fromScopedPull(Effect.succeed(bytes)), {
        contentType: reply.contentType,
        headers: { ...headersOf(jobId, placement), "x-accel-buffering": "no" }
      })
    }

    const pieces: Array<LoggedEvent> = []
    let document: string | undefined
    let failure: GatewayError | undefined
    const collect = (events: ReadonlyArray<LoggedEvent>) => {
      for (const event of events) {
        if (event.kind === "chunk") {
          meter.note(event.json)
          pieces.push(event)
        } else if (event.kind === "result") {
          meter.note(event.json)
          document = event.json
        } else if (isEnd(event.kind)) failure = failureOf(event)
      }
    }
    collect(first)
    const rest: Effect.Effect<void, Cause.Done> = Effect.suspend(() =>
      Effect.flatMap(pull, (events) => {
        collect(events)
        return rest
      })
    )
    yield* Pull.catchDone(rest, () => Effect.void)
    if (failure !== undefined) return failed(failure)
    // The placement may have changed since the answer began, because another worker continued it.
    const headers = headersOf(jobId, placement)
    const chunks = pieces.filter(({ id }) => id > restartedAfter).map(({ json }) => json)
    if (reply._tag === "Complete") {
      return HttpServerResponse.jsonUnsafe(reply.toJson(assemble(chunks), context), { headers })
    }
    const merged = document ?? mergeEmbeddings(chunks, endpointRequest.body)
    // The usage of a divided request is that of the merged document.
    if (document === undefined && merged !== undefined) meter.note(merged)
    const text = reply.toText(merged ?? "", context)
    if (text === undefined) return refuse(format, unreadable, headers)
    return HttpServerResponse.text(text, { contentType: "application/json", headers })
  })

  const unloaded = Effect.fnUntraced(function* ({ model: name, reply }: EndpointRequest, model: ServedModel) {
    const askedAt = clock.currentTimeMillisUnsafe()
    yield* unloader.unload(model)
    if (reply._tag !== "Complete") return yield* new InternalError({ job: "unload" })
    const context = {
      jobId: "",
      model: name,
      askedAt,
      now: () => clock.currentTimeMillisUnsafe(),
      placement: () => undefined
    }
    return HttpServerResponse.jsonUnsafe(reply.toJson(assemble([]), context))
  })

  return (endpoint: Endpoint) =>
    Effect.gen(function* () {
      const request = yield* HttpServerRequest.HttpServerRequest
      const waitMs = yield* deadlineOf(request)
      const body = yield* Effect.flatMap(requestText(settings), parse)
      const endpointRequest = yield* Effect.fromResult(endpoint.read(body))
      const { key } = yield* Caller
      const model = yield* finder
        .find(endpointRequest.model)
        .pipe(Effect.catchTag("ModelUnknown", (error) => Effect.fail(withoutHiddenModels(key, error))))
      if (!mayUse(key, model)) {
        return yield* new ModelForbidden({ key: key?.name ?? "", model: endpointRequest.model })
      }
      const prepared = withModelDefaults(endpointRequest, model)
      const prompt = textOf(prepared)
      const meter = new TokenMeter(prompt, key?.tokens_per_minute !== undefined)
      if (key !== undefined) {
        const tokens = endpointRequest.unload === "instead" ? 0 : meter.estimate(prepared)
        yield* keyLimits.enter(key, tokens, () => meter.tokens)
      }
      if (endpointRequest.unload === "instead") return yield* unloaded(endpointRequest, model)
      if (endpointRequest.unload === "after") yield* addFinalizer(() => unloader.inBackground(model))
      return yield* run(endpoint, prepared, model, waitMs, prompt, meter)
    }).pipe(
      Pull.catchDone(() => Effect.fail(new InternalError({ job: "complete" }))),
      Effect.catch((error) => Effect.succeed(refuse(endpoint.format, fromError(error))))
    )
})
