import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { llamaWorker } from "../../support/llamaWorker.ts"
import { until } from "../../support/until.ts"

const body = { prompt: "It was", max_tokens: 400, temperature: 0, stream: true }

const post = (port: number, headers: Record<string, string>, more: object = {}) =>
  Effect.promise(() =>
    fetch(`http://127.0.0.1:${port}/v1/completions`, {
      method: "POST",
      headers,
      body: JSON.stringify({ ...body, ...more })
    })
  )

/** The text of all complete events. */
const textOf = (sse: string) =>
  sse
    .split("\n\n")
    .slice(0, -1)
    .filter((event) => event.startsWith("data: {"))
    .map((event): string => JSON.parse(event.slice("data: ".length)).choices[0]?.text ?? "")
    .join("")

/** Reads until the first token has come, then closes the connection. */
const leaveEarly = (response: Response) =>
  Effect.promise(async () => {
    let text = ""
    for await (const part of response.body ?? []) {
      text += new TextDecoder().decode(part)
      if (textOf(text) !== "") break
    }
  })

const busy = (port: number) =>
  Effect.promise(async (): Promise<number> => {
    const response = await fetch(`http://127.0.0.1:${port}/health`)
    return JSON.parse(await response.text()).busy
  })

describe("a worker's answer that its client asked to keep", () => {
  it.live("goes on when the client leaves, and is read again from its beginning", () =>
    Effect.gen(function* () {
      const { port } = yield* llamaWorker()
      const whole = yield* post(port, {})
      const undisturbed = textOf(yield* Effect.promise(() => whole.text()))
      const headers = { "x-request-id": "job-1", "x-rbee-keep-ms": "30000" }
      yield* leaveEarly(yield* post(port, headers))
      for (const reader of ["first", "second"]) {
        const again = yield* Effect.promise(() => fetch(`http://127.0.0.1:${port}/v1/requests/job-1/stream`))
        assert.strictEqual(textOf(yield* Effect.promise(() => again.text())), undisturbed, reader)
      }
      const other = yield* Effect.promise(() => fetch(`http://127.0.0.1:${port}/v1/requests/job-2/stream`))
      assert.strictEqual(other.status, 404)
      assert.include(yield* Effect.promise(() => other.text()), "Request 'job-2' not found")
    })
  )

  it.live("is stopped by its cancel, and by nobody reading it for the time to keep it", () =>
    Effect.gen(function* () {
      const { port } = yield* llamaWorker(undefined, ["--ctx-size", "8192"])
      const long = { max_tokens: 8000 }
      const cancelled = yield* post(port, { "x-request-id": "job-1", "x-rbee-keep-ms": "60000" }, long)
      yield* leaveEarly(cancelled)
      assert.strictEqual(yield* busy(port), 1)
      const answer = yield* Effect.promise(() =>
        fetch(`http://127.0.0.1:${port}/v1/requests/job-1`, { method: "DELETE" })
      )
      assert.strictEqual(answer.status, 200)
      assert.strictEqual(yield* busy(port), 0)
      yield* leaveEarly(yield* post(port, { "x-request-id": "job-2", "x-rbee-keep-ms": "100" }, long))
      yield* until(busy(port), (count) => count === 0)
    })
  )

  it.live("is stopped by a client that leaves if it did not ask to keep it", () =>
    Effect.gen(function* () {
      const { port } = yield* llamaWorker(undefined, ["--ctx-size", "8192"])
      yield* leaveEarly(yield* post(port, { "x-request-id": "job-1" }, { max_tokens: 8000 }))
      yield* until(busy(port), (count) => count === 0)
    })
  )
})
