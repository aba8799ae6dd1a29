import { join } from "node:path"
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { vi } from "vitest"
import { dataOf, openStream, post } from "../../support/applications.ts"
import { type Fleet, startFleet } from "../../support/fleet.ts"
import { temporaryHome } from "../../support/hive.ts"

// Workers are started here, which takes its time on a machine that does more.
vi.setConfig({ testTimeout: 120_000 })

const path = "/v1/chat/completions"
const template = "tokenizer.chat_template"

const ask = ({ queenUrl }: Fleet, model: string, messages: ReadonlyArray<object>) =>
  post(queenUrl, path, { model, messages, max_tokens: 2, temperature: 0 })

const user = (content: string) => ({ role: "user", content })
const system = { role: "system", content: "Be brief." }

/** Nothing was started or stopped: the worker is the one that there was. */
const hasOneWorker = Effect.fnUntraced(function* (fleet: Fleet, model: string, id: string | undefined) {
  const workers = (yield* fleet.workers).filter((worker) => worker.model === model)
  assert.deepStrictEqual(
    workers.map(({ id, state }) => [id, state]),
    [[id, "ready"]]
  )
})

describe("a request that a chat template rejects", () => {
  const rendered = "{% for m in messages %}{{ m['content'] }}{% endfor %}"
  const variants = {
    nosystem: {
      [template]: `{% if messages[0]['role'] == 'system' %}{{ raise_exception('no system role here') }}{% endif %}${rendered}`
    },
    alternating: {
      [template]: `{% for m in messages %}{% if (m['role'] == 'user') != (loop.index0 % 2 == 0) %}{{ raise_exception('Conversation roles must alternate user/assistant') }}{% endif %}{{ m['content'] }}{% endfor %}`
    },
    unreadable: { [template]: "{% for m in messages %}{{ m['content'] }}" },
    bare: { [template]: undefined }
  }
  const cases = [
    ["nosystem", [system, user("hi")], "no system role here"],
    ["alternating", [user("one"), user("two")], "Conversation roles must alternate user/assistant"],
    ["unreadable", [user("hi")], ""],
    [
      "bare",
      [user("hi")],
      "Model 'bare' cannot chat: it has no chat template or is an embedding model; use /v1/completions or another model"
    ]
  ] as const

  it.live("gets 400 with the template's message each time, on the same single worker", () =>
    Effect.gen(function* () {
      const fleet = yield* startFleet({ hives: ["atlas"], variants })
      for (const [model, messages, sentence] of cases) {
        const loading = yield* post(fleet.queenUrl, "/v1/completions", { model, prompt: "It", max_tokens: 1 })
        assert.strictEqual(loading.status, 200, loading.text)
        const worker = (yield* fleet.workers).find((worker) => worker.model === model)?.id
        for (let i = 0; i < 6; i++) {
          const { status, text } = yield* ask(fleet, model, messages)
          assert.strictEqual(status, 400, text)
          const { error } = JSON.parse(text)
          assert.strictEqual(error.type, "invalid_request_error")
          if (sentence === "") assert.isAbove(error.message.length, 5)
          else assert.strictEqual(error.message, sentence)
          yield* hasOneWorker(fleet, model, worker)
        }
      }
      // Those that the template takes are served.
      for (const [model, messages] of [
        ["nosystem", [user("hi")]],
        ["alternating", [user("one")]]
      ] as const) {
        assert.strictEqual((yield* ask(fleet, model, messages)).status, 200)
      }
    })
  )
})

const failing = {
  engine: { name: "failing" },
  engines: {
    failing: {
      command: [
        process.execPath,
        new URL("../../support/fakeFailingEngine.ts", import.meta.url).pathname,
        "--port",
        "{port}",
        "--name",
        "{model_id}"
      ]
    }
  }
} as const

const order = (what: object) => [user(JSON.stringify(what))]

describe("an engine's error", () => {
  it.live("never starts, stops or pauses a worker, however often it occurs", () =>
    Effect.gen(function* () {
      const fleet = yield* startFleet({ hives: ["atlas"], hive: failing, models: ["m"] })
      assert.strictEqual((yield* ask(fleet, "m", [user("hi")])).status, 200)
      const [worker] = yield* fleet.workers
      const error = { error: { message: "not with me", type: "engine_error", param: null, code: null } }
      for (const [status, expected] of [
        [500, 500],
        [501, 501],
        [400, 400],
        [404, 404],
        [422, 422],
        [503, 503],
        [200, 502]
      ]) {
        for (let i = 0; i < 5; i++) {
          const answer = yield* ask(fleet, "m", order({ status, error }))
          assert.deepStrictEqual(
            [answer.status, JSON.parse(answer.text).error.message],
            [expected, "not with me"]
          )
        }
        yield* hasOneWorker(fleet, "m", worker?.id)
      }
      // In a stream, too, and with what is no error of OpenAI's form.
      for (const body of [
        { status: 500, error },
        { status: 200, error },
        { status: 500, error: "no" }
      ]) {
        const connection = yield* openStream(fleet.queenUrl, path, { model: "m", messages: order(body) })
        yield* connection.until(({ closed }) => closed)
        assert.isFalse(dataOf(connection).includes("[DONE]"))
      }
      yield* hasOneWorker(fleet, "m", worker?.id)
      // No breaker is open.
      assert.strictEqual((yield* ask(fleet, "m", [user("hi")])).status, 200)
    })
  )

  it.live("is retried once on another ready worker", () =>
    Effect.gen(function* () {
      const fleet = yield* startFleet({ hives: ["atlas", "boreas"], hive: failing, models: ["m"] })
      const folder = yield* temporaryHome
      const once = order({ once: join(folder, "alone") })
      yield* fleet.serve("m", ["atlas"])
      assert.strictEqual((yield* ask(fleet, "m", once)).status, 500)
      yield* fleet.serve("m", ["boreas"])
      const { status, text } = yield* ask(fleet, "m", order({ once: join(folder, "both") }))
      assert.strictEqual(status, 200, text)
      // Both fail it: the engine's words come through.
      const both = yield* ask(fleet, "m", order({ status: 500, error: { error: { message: "as ever" } } }))
      assert.deepStrictEqual([both.status, JSON.parse(both.text).error.message], [500, "as ever"])
      assert.lengthOf(yield* fleet.workers, 2)
    })
  )

  it.live("is the worker's fault if its health check fails: another worker answers", () =>
    Effect.gen(function* () {
      const fleet = yield* startFleet({ hives: ["atlas", "boreas"], hive: failing, models: ["m"] })
      yield* fleet.serve("m", ["atlas", "boreas"])
      const sick = order({ sick: join(yield* temporaryHome, "sick") })
      const first = yield* ask(fleet, "m", sick)
      assert.strictEqual(first.status, 200, first.text)
      for (let i = 0; i < 6; i++) assert.strictEqual((yield* ask(fleet, "m", [user("hi")])).status, 200)
    })
  )
})
