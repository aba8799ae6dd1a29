import { assert, describe, it } from "@effect/vitest"
import { Duration, Effect, Exit, Fiber, Scope } from "effect"
import { vi } from "vitest"
import { dataOf, headOf, logOf, newestRequest, openStream, post, textIn } from "../support/applications.ts"
import { ask, inOwnScope, type RawConnection } from "../support/daemon.ts"
import { type Fleet, type FleetHive, signal, startFleet } from "../support/fleet.ts"
import { until } from "../support/until.ts"

// Processes are started and killed here, which takes its time on a machine that does more.
vi.setConfig({ testTimeout: 120_000 })

const chat = {
  path: "/v1/chat/completions",
  body: {
    model: "rbee:tiny",
    messages: [{ role: "user", content: "Tell me about the whale." }],
    temperature: 0,
    max_tokens: 120,
    stream_options: { include_usage: true }
  }
}
const completion = {
  path: "/v1/completions",
  body: {
    model: "rbee:tiny",
    prompt: "It is a truth",
    temperature: 0,
    max_tokens: 120,
    stream_options: { include_usage: true }
  }
}

const listOfWords = {
  type: "json_schema",
  json_schema: {
    name: "words",
    strict: true,
    schema: {
      type: "object",
      properties: { words: { type: "array", items: { type: "string" }, minItems: 50 } },
      required: ["words"],
      additionalProperties: false
    }
  }
}
/** Requests with which no other worker can go on. */
const bound = [{ response_format: listOfWords }, { n: 2, temperature: 1 }]

interface Whole {
  readonly text: string
  readonly finish: string
  readonly usage: Readonly<Record<string, unknown>>
}

/** What the request is answered with when nothing happens. */
const undisturbed = ({ queenUrl }: Fleet, { body, path }: typeof chat | typeof completion) =>
  Effect.map(post(queenUrl, path, body), ({ text }): Whole => {
    const { choices, usage } = JSON.parse(text)
    const [choice] = choices
    return { text: choice.message?.content ?? choice.text, finish: choice.finish_reason, usage }
  })

/** Nothing is reserved for anybody any more. */
const isAtRest = Effect.fnUntraced(function* ({ scheduler }: Fleet) {
  const { requests, tokens, waiting } = yield* scheduler.load
  assert.deepStrictEqual({ requests, tokens, waiting }, { requests: 0, tokens: 0, waiting: 0 })
})

const roles = (data: ReadonlyArray<string>) => data.filter((item) => item.includes('"role"')).length

const ended = (connection: RawConnection) => connection.until(({ closed }) => closed)

const hasSome = (connection: RawConnection) =>
  connection.until((connection) => dataOf(connection).length >= 20)

const jobOf = (connection: RawConnection) => String(headOf(connection).headers["x-rbee-job-id"])

/**
 * The answer is whole, and the one that was expected: to the letter as far as it had come when a worker was lost. What
 * another adds may differ from there on, because it reads the text at once and not word by word, and two words may be
 * as likely to the last bit but one.
 */
const hasAnswer = (connection: RawConnection, expected: Whole, sent = expected.text) => {
  const data = dataOf(connection)
  assert.strictEqual(headOf(connection).status, 200)
  const text = textIn(data)
  assert.strictEqual(text.slice(0, sent.length), sent)
  assert.strictEqual(expected.text.slice(0, sent.length), sent)
  const [usage = "", end] = data.slice(-2)
  assert.strictEqual(end, "[DONE]")
  const finish = data.findLast((item) => item.includes('"finish_reason":"'))
  const { completion_tokens, prompt_tokens, total_tokens } = JSON.parse(usage).usage
  if (text === expected.text) {
    assert.include(finish, `"finish_reason":"${expected.finish}"`)
    assert.deepInclude(expected.usage, { completion_tokens, prompt_tokens, total_tokens })
  } else {
    assert.isAbove(text.length, sent.length)
    assert.deepInclude(expected.usage, { prompt_tokens })
    assert.strictEqual(total_tokens, prompt_tokens + completion_tokens)
  }
}

const sentSoFar = (connection: RawConnection) => textIn(dataOf(connection))

/** The stream ended with an error as the clients of OpenAI know them, and with nothing after it. */
const hasError = (connection: RawConnection, code: string) => {
  const data = dataOf(connection)
  assert.notInclude(data, "[DONE]")
  const { error } = JSON.parse(data.at(-1) ?? "")
  assert.deepStrictEqual([error.code, error.type, error.param], [code, "server_error", null])
  assert.isString(error.message)
}

const readyWorkers = ({ workers }: Fleet, count: number) =>
  until(
    workers,
    (workers) => workers.length === count && workers.every(({ state }) => state === "ready")
  ).pipe(Effect.orDie)

const workerOf = (fleet: Fleet, connection: RawConnection) =>
  Effect.map(fleet.workers, (workers) => {
    const id = headOf(connection).headers["x-rbee-worker"]
    return workers.find((worker) => worker.id === id)
  })

const killWorkerOf = (fleet: Fleet, connection: RawConnection) =>
  Effect.map(workerOf(fleet, connection), (worker) => {
    signal(worker?.pid, "SIGKILL")
    return worker?.id
  })

/** Two hives with a worker of the model each; those that are named run as processes of their own. */
const twoHives = Effect.fnUntraced(function* (
  processes: ReadonlyArray<string> = [],
  queen: Parameters<typeof startFleet>[0]["queen"] = {}
) {
  const fleet = yield* startFleet({ hives: ["atlas", "boreas"], processes, queen, slow: true })
  yield* fleet.serve("rbee:tiny", ["atlas", "boreas"])
  return fleet
})

describe("a killed worker", () => {
  it.live("before its first token: another worker answers and the client notices nothing", () =>
    Effect.gen(function* () {
      const fleet = yield* twoHives()
      const { queenUrl } = fleet
      let requests = 0
      const isBound = { response_format: { type: "json_object" } }
      for (const [request, more] of [
        [chat, {}],
        [completion, {}],
        [chat, isBound]
      ] as const) {
        const expected = yield* undisturbed(fleet, request)
        requests++
        // One that was killed before has been started again.
        const workers = yield* readyWorkers(fleet, 2)
        for (const { pid } of workers) signal(pid, "SIGSTOP")
        const connection = yield* openStream(queenUrl, request.path, { ...request.body, ...more })
        const job = yield* newestRequest(queenUrl, ++requests)
        const log = yield* logOf(queenUrl, job, (log) => log.includes("answers the request"))
        const lost = workers.find(({ id }) => log.includes(`Chose worker '${id}'`))
        const other = workers.find(({ id }) => id !== lost?.id)
        signal(lost?.pid, "SIGKILL")
        signal(other?.pid, "SIGCONT")
        yield* ended(connection)
        if (more !== isBound) hasAnswer(connection, expected)
        assert.strictEqual(headOf(connection).status, 200)
        assert.strictEqual(headOf(connection).headers["x-rbee-worker"], other?.id)
        assert.strictEqual(dataOf(connection).at(-1), "[DONE]")
        assert.strictEqual(roles(dataOf(connection)), request === chat ? 1 : 0)
        assert.include(yield* logOf(queenUrl, job), `Worker '${lost?.id}' failed before the first token`)
        yield* isAtRest(fleet)
      }
    })
  )

  it.live("after the role chunk only: another worker answers and the client notices nothing", () =>
    Effect.gen(function* () {
      const fleet = yield* twoHives()
      const { queenUrl } = fleet
      const expected = yield* undisturbed(fleet, chat)
      for (const more of [{}, { n: 2 }]) {
        const workers = yield* readyWorkers(fleet, 2)
        // All its slots are taken for long, and more: what comes then has to wait behind its role.
        const long = { ...completion.body, max_tokens: 400 }
        const { scope: others } = yield* inOwnScope(
          Effect.forEach([...workers, ...workers, ...workers, ...workers], ({ port }) =>
            openStream(`http://127.0.0.1:${port}`, completion.path, long)
          )
        )
        for (const { port } of workers) {
          const health = ask(`http://127.0.0.1:${port}`, { path: "/health" })
          yield* until(health, ({ text }) => JSON.parse(text).busy === 2)
        }
        const connection = yield* openStream(queenUrl, chat.path, { ...chat.body, ...more })
        yield* connection.until((connection) => roles(dataOf(connection)) === (more.n ?? 1))
        const lost = workers.find(({ id }) => id === headOf(connection).headers["x-rbee-worker"])
        signal(lost?.pid, "SIGKILL")
        assert.strictEqual(textIn(dataOf(connection)), "")
        yield* Scope.close(others, Exit.void)
        yield* ended(connection)
        assert.strictEqual(roles(dataOf(connection)), more.n ?? 1)
        if (more.n === undefined) hasAnswer(connection, expected)
        assert.strictEqual(dataOf(connection).at(-1), "[DONE]")
        assert.include(
          yield* logOf(queenUrl, jobOf(connection)),
          `Worker '${lost?.id}' failed before the first token`
        )
        yield* isAtRest(fleet)
      }
    })
  )

  it.live("mid-stream: another worker continues the text to its end", () =>
    Effect.gen(function* () {
      const fleet = yield* twoHives()
      const { queenUrl } = fleet
      for (const request of [chat, completion]) {
        const expected = yield* undisturbed(fleet, request)
        yield* readyWorkers(fleet, 2)
        const connection = yield* openStream(queenUrl, request.path, request.body)
        yield* hasSome(connection)
        const sent = sentSoFar(connection)
        const lost = yield* killWorkerOf(fleet, connection)
        yield* ended(connection)
        hasAnswer(connection, expected, sent)
        assert.isAtMost(roles(dataOf(connection)), 1)
        const log = yield* logOf(queenUrl, jobOf(connection))
        assert.match(log, new RegExp(`"continue".*Worker '${lost}' failed mid-answer`))
        yield* isAtRest(fleet)
      }
    })
  )

  it.live("mid-stream, twice: a third worker continues the text", () =>
    Effect.gen(function* () {
      const fleet = yield* twoHives()
      const expected = yield* undisturbed(fleet, chat)
      const connection = yield* openStream(fleet.queenUrl, chat.path, chat.body)
      yield* hasSome(connection)
      const sent = sentSoFar(connection)
      const lost = yield* killWorkerOf(fleet, connection)
      const before = dataOf(connection).length
      yield* connection.until((connection) => dataOf(connection).length > before + 20)
      const next = (yield* fleet.workers).find(({ id }) => id !== lost)
      signal(next?.pid, "SIGKILL")
      yield* ended(connection)
      hasAnswer(connection, expected, sent)
      yield* isAtRest(fleet)
    })
  )

  it.live("mid-stream: an answer that cannot be continued ends with an error", () =>
    Effect.gen(function* () {
      const fleet = yield* twoHives()
      const { queenUrl } = fleet
      for (const more of bound) {
        yield* readyWorkers(fleet, 2)
        const connection = yield* openStream(queenUrl, chat.path, { ...chat.body, ...more })
        yield* hasSome(connection)
        yield* killWorkerOf(fleet, connection)
        // The hive waits for a moment to say why its worker has gone.
        yield* Effect.timeout(ended(connection), "3 seconds")
        hasError(connection, "AnswerLost")
        yield* isAtRest(fleet)
      }
    })
  )

  it.live("in a non-streamed answer: another worker continues or restarts it", () =>
    Effect.gen(function* () {
      const fleet = yield* twoHives()
      const { queenUrl } = fleet
      const expected = yield* undisturbed(fleet, chat)
      let requests = 1
      for (const more of [{}, ...bound]) {
        yield* readyWorkers(fleet, 2)
        const asked = yield* Effect.forkChild(post(queenUrl, chat.path, { ...chat.body, ...more }))
        const job = yield* newestRequest(queenUrl, ++requests)
        const log = yield* logOf(queenUrl, job, (log) => log.split("event: chunk").length > 20)
        const lost = (yield* fleet.workers).find(({ id }) => log.includes(`Chose worker '${id}'`))
        signal(lost?.pid, "SIGKILL")
        const { headers, status, text } = yield* Fiber.join(asked)
        const { choices, usage } = JSON.parse(text)
        assert.strictEqual(status, 200, text)
        assert.notStrictEqual(headers["x-rbee-worker"], lost?.id)
        if (more === bound[0] || more === bound[1]) {
          // One answer from its beginning, and nothing of the one that was lost.
          assert.lengthOf(choices, more === bound[1] ? 2 : 1)
          assert.isAtMost(usage.completion_tokens, 2 * chat.body.max_tokens)
          if (more === bound[0]) assert.match(choices[0].message.content, /^\s*\{\s*"words"/)
          if (more === bound[0]) assert.lengthOf(choices[0].message.content.split('"words"'), 2)
          assert.include(yield* logOf(queenUrl, job), "another worker answers the request again")
        } else {
          const answer: string = choices[0].message.content
          // Twenty pieces and more had come.
          assert.strictEqual(answer.slice(0, 20), expected.text.slice(0, 20))
          assert.strictEqual(usage.prompt_tokens, expected.usage["prompt_tokens"])
          assert.isAbove(usage.completion_tokens, 20)
        }
        yield* isAtRest(fleet)
      }
    })
  )
})

/** Of each kind of request one on each hive, in mid-stream; and what becomes of them when one of the hives is lost. */
const onBothHives = Effect.fnUntraced(function* (
  fleet: Fleet,
  lose: (hive: FleetHive) => Effect.Effect<void>
) {
  const { queenUrl } = fleet
  // So long that none has ended when the last has its worker.
  const long = { ...chat, body: { ...chat.body, max_tokens: 400 } }
  const expected = yield* undisturbed(fleet, long)
  const asked = yield* Effect.forEach([{}, {}, bound[0], bound[0]], (more) =>
    Effect.gen(function* () {
      const connection = yield* openStream(queenUrl, long.path, { ...long.body, ...more })
      // The next one is placed by what this one is doing, so it comes when this one has its place.
      yield* hasSome(connection)
      return { connection, isBound: more === bound[0] }
    })
  )
  const hiveOf = (connection: RawConnection) => String(headOf(connection).headers["x-rbee-hive"])
  const placed = asked.map(({ connection, isBound }) => `${hiveOf(connection)} ${isBound}`)
  assert.strictEqual(new Set(placed).size, 4)
  const [lost = ""] = asked.map(({ connection }) => hiveOf(connection))
  const sent = new Map(asked.map(({ connection }) => [connection, sentSoFar(connection)]))
  yield* lose(fleet.hive(lost))
  for (const { connection, isBound } of asked) {
    yield* Effect.timeout(ended(connection), "10 seconds")
    if (hiveOf(connection) === lost && isBound) hasError(connection, "AnswerLost")
    else if (isBound) assert.strictEqual(dataOf(connection).at(-1), "[DONE]")
    else hasAnswer(connection, expected, sent.get(connection))
  }
  yield* isAtRest(fleet)
})

describe("a dead hive", () => {
  it.live("mid-stream: the other hive continues the answer if possible", () =>
    Effect.gen(function* () {
      const fleet = yield* twoHives(["atlas", "boreas"])
      yield* onBothHives(fleet, ({ kill }) => kill)
    })
  )

  it.live("before the first token: the client notices nothing, even if the hive had more workers", () =>
    Effect.gen(function* () {
      const fleet = yield* startFleet({ hives: ["atlas", "boreas"], processes: ["atlas"], slow: true })
      const { queenUrl } = fleet
      const workers = yield* fleet.serve("rbee:tiny", ["atlas", "atlas", "atlas", "boreas"])
      for (const { pid } of workers) signal(pid, "SIGSTOP")
      const asked = yield* Effect.all([
        Effect.forkChild(undisturbed(fleet, chat)),
        Effect.forkChild(undisturbed(fleet, chat))
      ])
      const jobs = [yield* newestRequest(queenUrl, 1), yield* newestRequest(queenUrl, 2)]
      const logs = yield* Effect.forEach(jobs, (job) =>
        logOf(queenUrl, job, (log) => log.includes("answers the request"))
      )
      // The second goes to a worker that has nothing to do.
      assert.include(logs.join(""), "on hive 'atlas'")
      yield* fleet.hive("atlas").kill
      for (const { pid } of workers) signal(pid, "SIGCONT")
      const [one, two] = yield* Effect.forEach(asked, Fiber.join)
      assert.strictEqual(one?.text, two?.text)
      yield* isAtRest(fleet)
    })
  )

  it.live("without closing connections: the queen detects the silence", () =>
    Effect.gen(function* () {
      const fleet = yield* twoHives(["atlas", "boreas"], { timeouts: { idle: Duration.seconds(3) } })
      yield* onBothHives(fleet, ({ freeze }) => freeze)
    })
  )

  it.live("after a graceful stop: the other hive takes over its work", () =>
    Effect.gen(function* () {
      const fleet = yield* twoHives()
      const { queenUrl } = fleet
      const expected = yield* undisturbed(fleet, chat)
      const connection = yield* openStream(queenUrl, chat.path, chat.body)
      yield* hasSome(connection)
      const { headers } = headOf(connection)
      const sent = sentSoFar(connection)
      yield* fleet.hive(String(headers["x-rbee-hive"])).stop
      yield* ended(connection)
      hasAnswer(connection, expected, sent)
      assert.include(yield* logOf(queenUrl, jobOf(connection)), `"continue"`)
      yield* isAtRest(fleet)
    })
  )
})

describe("the only worker", () => {
  it.live("is awaited after a kill until its hive has restarted it", () =>
    Effect.gen(function* () {
      const fleet = yield* startFleet({ hives: ["atlas"], slow: true })
      const { queenUrl } = fleet
      const expected = yield* undisturbed(fleet, chat)
      let requests = 1
      // Before the first token, and in the middle of the answer.
      for (const isReady of [false, true]) {
        const [worker] = yield* readyWorkers(fleet, 1)
        if (!isReady) signal(worker?.pid, "SIGSTOP")
        const connection = yield* openStream(queenUrl, chat.path, chat.body)
        const job = yield* newestRequest(queenUrl, ++requests)
        if (isReady) yield* hasSome(connection)
        else yield* logOf(queenUrl, job, (log) => log.includes("answers the request"))
        const sent = isReady ? sentSoFar(connection) : expected.text
        signal(worker?.pid, "SIGKILL")
        yield* ended(connection)
        hasAnswer(connection, expected, sent)
        yield* isAtRest(fleet)
      }
      const connection = yield* openStream(queenUrl, chat.path, { ...chat.body, ...bound[0] })
      yield* hasSome(connection)
      yield* killWorkerOf(fleet, connection)
      yield* Effect.timeout(ended(connection), "3 seconds")
      hasError(connection, "AnswerLost")
      yield* isAtRest(fleet)
    })
  )

  it.live("is no longer awaited when the client disconnects", () =>
    Effect.gen(function* () {
      const fleet = yield* startFleet({ hives: ["atlas"], slow: true })
      const { queenUrl } = fleet
      yield* fleet.serve("rbee:tiny", ["atlas"])
      const connection = yield* openStream(queenUrl, chat.path, chat.body)
      yield* hasSome(connection)
      yield* killWorkerOf(fleet, connection)
      const job = jobOf(connection)
      yield* logOf(queenUrl, job, (log) => log.includes('"continue"'))
      connection.socket.destroy()
      const left = performance.now()
      const log = yield* logOf(queenUrl, job)
      assert.include(log, "event: cancelled")
      assert.isBelow(performance.now() - left, 1000)
      yield* isAtRest(fleet)
    })
  )
})
