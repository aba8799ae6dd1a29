import { assert, describe, it } from "@effect/vitest"
import { Effect, Fiber } from "effect"
import { vi } from "vitest"
import { dataOf, headOf, logOf, openStream, post, textIn } from "../support/applications.ts"
import { ask, type RawConnection } from "../support/daemon.ts"
import { type Fleet, type FleetOptions, signal, startFleet } from "../support/fleet.ts"
import { until } from "../support/until.ts"

// Two hives as processes of their own have the model's file; one is killed with its workers, as by a loss of power.
vi.setConfig({ testTimeout: 180_000 })

const path = "/v1/chat/completions"
const request = {
  model: "rbee:tiny",
  messages: [{ role: "user", content: "Tell me about the whale." }],
  temperature: 0,
  max_tokens: 150
}
/** Another worker cannot go on with it in the middle. */
const words = { type: "array", items: { type: "string" }, minItems: 50 }
const schema = { type: "object", properties: { words }, required: ["words"], additionalProperties: false }
const bound = {
  ...request,
  response_format: { type: "json_schema", json_schema: { name: "words", strict: true, schema } }
}

const ids = ["atlas", "boreas"] as const
const loadPause = 30_000

const twoHives = (options: Partial<FleetOptions> = {}) =>
  startFleet({ hives: ids, processes: ids, slow: true, ...options })

const requestsOf = ({ queenUrl }: Fleet) =>
  Effect.map(ask(queenUrl, { path: "/v1/jobs" }), ({ text }): ReadonlyArray<string> =>
    JSON.parse(text)
      .jobs.filter(({ operation }: { readonly operation: string }) => operation === "complete")
      .map(({ job_id }: { readonly job_id: string }) => job_id)
  )

/** One request of each way to read an answer, and when all of them are as far as `holds` says of their logs. */
const askAll = Effect.fnUntraced(function* (
  fleet: Fleet,
  bodies: ReadonlyArray<typeof request>,
  holds: (log: string) => boolean
) {
  const { queenUrl } = fleet
  const stream = yield* openStream(queenUrl, path, request)
  // A worker is started meanwhile, which takes its time on a machine that does more.
  const whole = yield* Effect.forEach(bodies, (body) =>
    Effect.forkChild(
      ask(queenUrl, { method: "POST", path, body: JSON.stringify(body), within: "90 seconds" })
    )
  )
  const jobs = yield* until(requestsOf(fleet), (jobs) => jobs.length === bodies.length + 1).pipe(Effect.orDie)
  const logs = yield* Effect.forEach(jobs, (job) => logOf(queenUrl, job, holds), {
    concurrency: "unbounded"
  })
  return { stream, whole, logs }
})

const isWhole = (stream: RawConnection) => {
  const data = dataOf(stream)
  assert.strictEqual(headOf(stream).status, 200)
  assert.strictEqual(data.at(-1), "[DONE]", data.at(-1))
  assert.isNotEmpty(textIn(data))
  assert.isDefined(data.find((item) => item.includes('"finish_reason":"')))
}

/** All of them are answered by the hive that is left. */
const areAnswered = Effect.fnUntraced(function* (
  { stream, whole }: Effect.Success<ReturnType<typeof askAll>>,
  left: string | undefined
) {
  for (const asked of whole) {
    const { headers, status, text } = yield* Fiber.join(asked)
    assert.strictEqual(status, 200, text)
    assert.strictEqual(headers["x-rbee-hive"], left)
    const { choices } = JSON.parse(text)
    assert.isNotEmpty(choices[0].message.content)
    assert.isString(choices[0].finish_reason)
  }
  yield* stream.until(({ closed }) => closed)
  isWhole(stream)
})

const hasOneLeft = Effect.fnUntraced(function* ({ client, queenUrl }: Fleet, lost: string) {
  const events = yield* client.run({ operation: "status" })
  const { hives, models, workers } = JSON.parse(
    events.findLast(({ kind }) => kind === "result")?.json ?? "{}"
  )
  const dead = hives.find(({ alias }: { readonly alias: string }) => alias === lost)
  assert.strictEqual(dead.state, "unreachable")
  assert.notProperty(dead, "workers")
  for (const { away, hive } of models) assert.strictEqual(away, hive === lost ? dead.reason : undefined)
  assert.isTrue(models.some(({ hive }: { readonly hive: string }) => hive === lost))
  assert.isFalse(workers.some(({ hive }: { readonly hive: string }) => hive === lost))
  assert.strictEqual((yield* post(queenUrl, path, { ...request, max_tokens: 2 })).status, 200)
})

describe("a killed hive", () => {
  it.live("while loading a model: the other hive loads it without delay", () =>
    Effect.gen(function* () {
      const fleet = yield* twoHives({ slow: "loading" })
      const asked = yield* askAll(fleet, [request, bound], (log) => log.includes("loading it on"))
      const lost = ids.find((id) => asked.logs.some((log) => log.includes(`loading it on ${id}`)))
      yield* until(fleet.hive(lost ?? "").workers, (workers) =>
        workers.some(({ pid, state }) => state === "starting" && pid !== undefined)
      ).pipe(Effect.orDie)
      const killed = performance.now()
      yield* fleet.hive(lost ?? "").kill
      yield* areAnswered(
        asked,
        ids.find((id) => id !== lost)
      )
      assert.isBelow(performance.now() - killed, loadPause)
      yield* hasOneLeft(fleet, lost ?? "")
    })
  )

  it.live("before the first token, with the only worker: the other hive starts one", () =>
    Effect.gen(function* () {
      const fleet = yield* twoHives()
      const [worker] = yield* fleet.serve("rbee:tiny", ["atlas"])
      signal(worker?.pid, "SIGSTOP")
      const asked = yield* askAll(fleet, [request, bound], (log) => log.includes("answers the request"))
      yield* fleet.hive("atlas").kill
      yield* areAnswered(asked, "boreas")
      yield* hasOneLeft(fleet, "atlas")
    })
  )

  it.live("mid-stream, with the only worker: the other hive continues or restarts the answers", () =>
    Effect.gen(function* () {
      const fleet = yield* twoHives({ slow: "answering" })
      yield* fleet.serve("rbee:tiny", ["atlas"])
      const asked = yield* askAll(fleet, [bound], (log) => log.split("event: chunk").length > 3)
      const sent = textIn(dataOf(asked.stream))
      yield* fleet.hive("atlas").kill
      yield* areAnswered(asked, "boreas")
      assert.isTrue(textIn(dataOf(asked.stream)).startsWith(sent))
      yield* hasOneLeft(fleet, "atlas")
    })
  )
})
