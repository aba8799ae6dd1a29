import { assert, describe, it } from "@effect/vitest"
import { Effect, Result, Schema, Stream } from "effect"
import {
  CancelledEvent,
  ChunkEvent,
  decodeEvent,
  decodeEvents,
  DoneEvent,
  Event,
  FailedEvent,
  InvalidEvent,
  LineEvent,
  NarrationEvent,
  ProgressEvent,
  ResultEvent,
  TokenEvent
} from "../../src/job/Event.ts"
import { type EventKind, JobEvent } from "../../src/job/log/JobEvent.ts"

const decoded = (event: JobEvent) => Result.getOrThrow(decodeEvent(event))

const progress = { stage: "download", current: 5, total: 10, unit: "bytes", rate: 2.5, eta_ms: 2000 }

const one = (kind: EventKind, json: string) => new JobEvent(kind, json, 7)

/** One event of each kind, with its decoded form. */
const examples: ReadonlyArray<readonly [JobEvent, Event]> = [
  [
    one("narration", `{"actor":"hv-worker","action":"spawn","message":"Starting","job_id":"job-1","more":1}`),
    new NarrationEvent({ id: 7, actor: "hv-worker", action: "spawn", message: "Starting", job_id: "job-1" })
  ],
  [one("progress", JSON.stringify(progress)), new ProgressEvent({ id: 7, ...progress })],
  [one("token", `{"text":"a"}`), new TokenEvent({ id: 7, text: "a" })],
  [one("line", `{"text":"b"}`), new LineEvent({ id: 7, text: "b" })],
  [one("chunk", `{"choices":[]}`), new ChunkEvent({ id: 7, data: `{"choices":[]}` })],
  [one("result", `{"workers":[]}`), new ResultEvent({ id: 7, data: { workers: [] } })],
  [one("done", `{"queued_ms":1,"run_ms":2}`), new DoneEvent({ id: 7, queued_ms: 1, run_ms: 2 })],
  [
    one("failed", `{"error":{"code":"ModelNotFound","message":"No such model","details":{"id":"x"}}}`),
    new FailedEvent({
      id: 7,
      error: { code: "ModelNotFound", message: "No such model", details: { id: "x" } }
    })
  ],
  [one("cancelled", `{"confirmed":true}`), new CancelledEvent({ id: 7, confirmed: true })]
]

describe("decodeEvent", () => {
  it("decodes every kind", () => {
    for (const [event, expected] of examples) assert.deepStrictEqual(decoded(event), expected)
    assert.strictEqual(new Set(examples.map(([{ kind }]) => kind)).size, 9)
  })

  it("decodes what daemons make of their own events, which have no number", () => {
    assert.deepStrictEqual(decoded(JobEvent.token("a")), new TokenEvent({ id: undefined, text: "a" }))
  })

  it("decodes the ends of an older hive, which reports neither times nor a confirmation", () => {
    assert.deepStrictEqual(decoded(new JobEvent("done", "{}")), new DoneEvent({ id: undefined }))
    for (const json of ["{}", `{"confirmed":null}`]) {
      assert.deepStrictEqual(
        decoded(new JobEvent("cancelled", json)),
        new CancelledEvent({ id: undefined, confirmed: false })
      )
    }
  })

  it("does not parse a chunk, which may be no JSON", () => {
    assert.deepStrictEqual(decoded(one("chunk", "[DONE]")), new ChunkEvent({ id: 7, data: "[DONE]" }))
  })

  it("fails with the kind and the beginning of unexpected data", () => {
    for (const [{ kind }] of examples.filter(([{ kind }]) => kind !== "chunk")) {
      const json = `"${"x".repeat(200)}`
      assert.deepStrictEqual(
        decodeEvent(one(kind, json)),
        Result.fail(new InvalidEvent({ id: 7, kind, excerpt: json.slice(0, 80) })),
        kind
      )
    }
    const error = Result.getOrThrow(Result.flip(decodeEvent(one("token", `{"txt":1}`))))
    assert.strictEqual(error.message, `Event of the kind 'token' has unexpected data: {"txt":1}`)
  })

  it("fails at data that is nested too deeply", () => {
    const json = `${"[".repeat(100_000)}${"]".repeat(100_000)}`
    assert.isTrue(Result.isFailure(decodeEvent(one("result", json))))
  })
})

describe("Event", () => {
  it("matches by tag, and survives JSON", () => {
    const toJson = Schema.encodeSync(Schema.fromJsonString(Event))
    const fromJson = Schema.decodeSync(Schema.fromJsonString(Event))
    for (const [, event] of examples) assert.deepStrictEqual(fromJson(toJson(event)), event)
    const isToken = Event.guards.Token
    assert.deepStrictEqual(
      examples.filter(([, event]) => isToken(event)).map(([{ kind }]) => kind),
      ["token"]
    )
  })
})

describe("decodeEvents", () => {
  it.effect("fails at the first event with unexpected data", () =>
    Effect.gen(function* () {
      const seen: Array<string> = []
      const events = Stream.make(JobEvent.token("a"), one("token", "?"), JobEvent.token("b"))
      const error = yield* Effect.flip(
        Stream.runForEach(decodeEvents(events), ({ _tag }) => Effect.sync(() => void seen.push(_tag)))
      )
      assert.deepStrictEqual([seen, error._tag], [["Token"], "InvalidEvent"])
    })
  )
})
