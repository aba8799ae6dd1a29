import { assert, describe, it } from "@effect/vitest"
import { Cause, Effect } from "effect"
import { HttpServerResponse } from "effect/http"
import type { Endpoint, EndpointRequest, ResponseMode } from "../../../src/gateway/endpoint/Endpoint.ts"
import type { RequestJob } from "../../../src/gateway/endpoint/RequestJobs.ts"
import { respond } from "../../../src/gateway/endpoint/respond.ts"
import { TokenMeter } from "../../../src/gateway/keys/TokenMeter.ts"
import { openAiFormat } from "../../../src/gateway/openai/format.ts"
import { JobEvent } from "../../../src/job/log/JobEvent.ts"
import { aboutAfter, piece } from "../../support/endpointAnswers.ts"

const narration = JobEvent.narration("gateway", "wait", "Waiting")
const chunk = (json: string) => new JobEvent("chunk", json)
const done = JobEvent.done({ queued_ms: 0, run_ms: 1 })
const queueFull = JobEvent.failed({
  code: "QueueFull",
  message: "'n_prompt' is too long",
  details: { engine: { type: null, param: "n_prompt", code: null } }
})

/** A job that emits these batches. */
const jobOf = (batches: ReadonlyArray<ReadonlyArray<JobEvent>>, restartedAfter = 0): RequestJob => {
  let id = 0
  const logged = batches.map((batch) => batch.map(({ json, kind }) => ({ id: ++id, kind, json })))
  return {
    context: aboutAfter(() => 0, { queueMs: 2 }),
    pull: Effect.suspend(() => {
      const batch = logged.shift()
      return batch === undefined ? Cause.done() : Effect.succeed(batch)
    }),
    restartedAfter: () => restartedAfter
  }
}

const complete: ResponseMode = {
  _tag: "Complete",
  toJson: ({ choices: [{ text }] }) => ({ text }),
  fromFailure: ({ code }) => (code === "AnswerLost" ? { refused: true } : undefined)
}
const streamed: ResponseMode = {
  _tag: "Stream",
  contentType: "text/plain",
  idle: "idle\n",
  writer: () => ({
    chunk: (data) => `${data}\n`,
    end: () => "end\n",
    failed: ({ code }) => `failed: ${code}\n`
  })
}
const document: ResponseMode = { _tag: "Document", toText: (text) => (text === "[]" ? text : undefined) }

const endpoint: Endpoint = {
  path: "/x",
  format: openAiFormat,
  fieldNames: { n_prompt: "prompt" },
  read: () => assert.fail("the endpoint reads no request here")
}

const responseOf = (reply: ResponseMode, job: RequestJob) => {
  const request: EndpointRequest = { model: "tiny", api: "chat/completions", body: {}, reply }
  return respond(job, endpoint, request, new TokenMeter("", false))
}

const textOf = (response: HttpServerResponse.HttpServerResponse) =>
  Effect.promise(() => HttpServerResponse.toWeb(response).text())

const read = (reply: ResponseMode, ...batches: ReadonlyArray<ReadonlyArray<JobEvent>>) =>
  Effect.flatMap(responseOf(reply, jobOf(batches)), (response) =>
    Effect.map(textOf(response), (text) => ({
      status: response.status,
      headers: response.headers,
      text
    }))
  )

describe("respond", () => {
  it.effect("streams what follows the first part of the answer, one write a batch", () =>
    Effect.gen(function* () {
      const { headers, status, text } = yield* read(
        streamed,
        [narration],
        [],
        [narration, chunk("1")],
        [],
        [chunk("2"), chunk("3"), done]
      )
      assert.deepStrictEqual([status, text], [200, "1\nidle\n2\n3\nend\n"])
      assert.deepInclude(headers, {
        "cache-control": "no-cache",
        "x-accel-buffering": "no",
        "x-rbee-job-id": "job-1",
        "x-rbee-queue-ms": "2"
      })
    })
  )

  it.effect("streams an answer without a part: only its end", () =>
    Effect.gen(function* () {
      assert.strictEqual((yield* read(streamed, [done])).text, "end\n")
    })
  )

  it.effect("is an error response if the job fails before its answer, with the API's name of the field", () =>
    Effect.gen(function* () {
      for (const reply of [streamed, complete, document]) {
        const { headers, status, text } = yield* read(reply, [narration], [narration, queueFull])
        assert.strictEqual(status, 429)
        assert.strictEqual(headers["x-rbee-job-id"], "job-1")
        assert.deepInclude(JSON.parse(text).error, { message: "'prompt' is too long", param: "prompt" })
      }
    })
  )

  it.effect("is 499 if the job is cancelled before its answer", () =>
    Effect.gen(function* () {
      const { status, text } = yield* read(complete, [JobEvent.cancelled(true)])
      assert.strictEqual(status, 499)
      assert.strictEqual(JSON.parse(text).error.message, "The request was cancelled by another client")
    })
  )

  it.effect("ends a stream with the failure that comes after its first part", () =>
    Effect.gen(function* () {
      const { status, text } = yield* read(streamed, [chunk("1"), queueFull])
      assert.deepStrictEqual([status, text], [200, "1\nfailed: QueueFull\n"])
    })
  )

  it.effect("is an error response if a complete answer fails at any time", () =>
    Effect.gen(function* () {
      assert.strictEqual((yield* read(complete, [chunk(piece({ content: "a" }))], [queueFull])).status, 429)
    })
  )

  it.effect("is an answer if the API counts the failure as one", () =>
    Effect.gen(function* () {
      const lost = JobEvent.failed({ code: "AnswerLost", message: "lost" })
      const { status, text } = yield* read(complete, [lost])
      assert.deepStrictEqual([status, text], [200, `{"refused":true}`])
    })
  )

  it.effect("assembles a complete answer, without the chunks of a lost worker", () =>
    Effect.gen(function* () {
      const chunks = ["lost", "a", "b"].map((content) => chunk(piece({ content })))
      const job = jobOf([chunks.slice(0, 1), [...chunks.slice(1), done]], 1)
      assert.strictEqual(yield* Effect.flatMap(responseOf(complete, job), textOf), `{"text":"ab"}`)
    })
  )

  it.effect("passes a document on, and is 502 if the document is invalid", () =>
    Effect.gen(function* () {
      const good = yield* read(document, [new JobEvent("result", "[]"), done])
      assert.deepStrictEqual([good.status, good.text], [200, "[]"])
      const bad = yield* read(document, [new JobEvent("result", "{}"), done])
      assert.strictEqual(bad.status, 502)
      assert.include(JSON.parse(bad.text).error.message, "The engine sent an unexpected response")
    })
  )
})
