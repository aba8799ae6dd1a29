import { chmodSync, mkdirSync, readFileSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { vi } from "vitest"
import { dataOf, headOf, logOf, openStream, post, textIn } from "../support/applications.ts"
import { ask, submitTo } from "../support/daemon.ts"
import { freePort } from "../support/ports.ts"
import { rbee, temporaryFolder } from "../support/rbee.ts"
import { program, runScript, startRbee } from "../support/rbeeDaemon.ts"
import { until } from "../support/until.ts"

vi.setConfig({ testTimeout: 120_000 })

/** Limits so short that each fault is over within seconds. */
const env = {
  RBEE_HEARTBEAT_EVERY: "300ms",
  RBEE_TIMEOUTS_SUBMIT: "1s",
  RBEE_TIMEOUTS_SILENCE: "1s",
  RBEE_TIMEOUTS_RECONNECT: "2s",
  RBEE_TIMEOUTS_FIRST_TOKEN: "1s",
  RBEE_TIMEOUTS_BETWEEN_TOKENS: "1s",
  RBEE_TIMEOUTS_QUEUE: "5s"
}

const chat = { messages: [{ role: "user", content: "Tell me of the sea" }] }
const chatPath = "/v1/chat/completions"

const setMode = (url: string, mode: string) =>
  Effect.map(ask(url, { method: "PUT", path: "/mock/mode", body: mode }), ({ status, text }) => {
    assert.strictEqual(status, 200, text)
  })

const modeOf = (url: string) => Effect.map(ask(url, { path: "/mock/mode" }), ({ text }) => JSON.parse(text))

const timed = <A, E, R>(effect: Effect.Effect<A, E, R>) =>
  Effect.suspend(() => {
    const begun = performance.now()
    return Effect.map(effect, (value) => ({ value, seconds: (performance.now() - begun) / 1000 }))
  })

const startQueen = Effect.fnUntraced(function* (home: string) {
  return yield* startRbee(home, ["queen", "serve", "--port", String(yield* freePort)], env)
})

const startHive = Effect.fnUntraced(function* (
  home: string,
  queenUrl: string,
  flags: ReadonlyArray<string> = [],
  port?: string
) {
  const listens = ["--port", port ?? String(yield* freePort), "--queen-url", queenUrl]
  return yield* startRbee(home, ["mock", "hive", ...listens, "--model", "llama3", ...flags], env)
})

const hasModel = (queenUrl: string, model: string) =>
  until(ask(queenUrl, { path: "/v1/models" }), ({ text }) => text.includes(`"${model}"`))

const workersOf = (hiveUrl: string) =>
  Effect.map(
    ask(hiveUrl, { path: "/v1/heartbeat" }),
    ({ text }): ReadonlyArray<{ url: string }> => JSON.parse(text).workers
  )

const infer = { operation: "infer", hive_id: "mock", model: "llama3", prompt: "Once ", temperature: 0 }

/** How a job on the mock hive ends, as the queen reports it. */
const inferAt = (queenUrl: string, maxTokens = 8) =>
  timed(
    Effect.flatMap(submitTo(queenUrl, { ...infer, max_tokens: maxTokens }), (id) => logOf(queenUrl, id))
  ).pipe(
    Effect.map(({ seconds, value: log }) => {
      const numbers = [...log.matchAll(/^id: (\d+)$/gm)].map(([, id]) => Number(id))
      const dataOfLast = (kind: string): string =>
        [...log.matchAll(new RegExp(`^event: ${kind}\\ndata: (.*)$`, "gm"))].at(-1)?.[1] ?? "{}"
      return {
        seconds,
        isContiguous: numbers.every((number, index) => number === index + 1),
        text: JSON.parse(dataOfLast("result")).text,
        error: JSON.parse(dataOfLast("failed")).error
      }
    })
  )

/** A streamed chat, and all that the client received. */
const chatAt = (url: string, body: object) =>
  timed(
    Effect.scoped(
      Effect.gen(function* () {
        const connection = yield* openStream(url, chatPath, { ...chat, ...body })
        yield* connection.until(({ closed }) => closed)
        const { received } = connection
        const { headers, status } = headOf(connection)
        return { received, status, hive: headers["x-rbee-hive"], data: dataOf(connection) }
      })
    )
  )

// Above each limit, for a machine that runs other tests at the same time.
const slack = 4

describe("a mock hive", () => {
  it.live("shows a queen each mode, and can be killed", () =>
    Effect.gen(function* () {
      const home = yield* temporaryFolder
      const queen = yield* startQueen(home)
      const port = String(yield* freePort)
      const hive = yield* startHive(home, queen.url, ["--interval-ms", "5"], port)
      yield* hasModel(queen.url, "llama3")
      const { text } = yield* inferAt(queen.url)
      assert.match(text, /^(\w+ ){8}$/)

      /** The job succeeds with the usual text, within the time. */
      const succeeds = Effect.fnUntraced(function* (mode: string, atLeast: number, atMost: number) {
        yield* setMode(hive.url, mode)
        const outcome = yield* inferAt(queen.url)
        assert.strictEqual(outcome.text, text, `${mode}: ${JSON.stringify(outcome.error)}`)
        assert.isTrue(outcome.isContiguous, mode)
        assert.isAtLeast(outcome.seconds, atLeast, mode)
        assert.isBelow(outcome.seconds, atMost + slack, mode)
        assert.isAbove((yield* modeOf(hive.url)).requests, 0)
      })
      /** The job fails with the error, within the time. */
      const fails = Effect.fnUntraced(function* (
        mode: string,
        code: string,
        message: RegExp,
        atMost: number
      ) {
        yield* setMode(hive.url, mode)
        const outcome = yield* inferAt(queen.url)
        assert.strictEqual(outcome.error?.code, code, mode)
        assert.match(outcome.error.message, message)
        assert.isBelow(outcome.seconds, atMost + slack, mode)
        assert.isAbove((yield* modeOf(hive.url)).faults, 0)
      })

      yield* succeeds(`{"mode":"slow","delay_ms":100}`, 1, 2)
      yield* fails("hang", "HiveTimeout", /sent nothing for 1 s \(timeouts\.submit\)/, 1)
      yield* succeeds(`{"mode":"hang","after":5}`, 1, 3)
      yield* fails(`{"mode":"flaky","every":1}`, "InvalidResponse", /answered 500: Injected fault/, 0)
      yield* succeeds(`{"mode":"flaky","every":2}`, 0, 0)
      yield* fails("drop", "ConnectionFailed", /connection reset/, 0)
      yield* succeeds(`{"mode":"drop","after":3}`, 0, 1)
      yield* fails("malformed", "InvalidResponse", /ended the stream without an end event/, 0)
      yield* fails(
        `{"mode":"slow-reader","bytes_per_second":10}`,
        "HiveTimeout",
        /sent nothing for 1 s \(timeouts\.submit\)/,
        1
      )
      yield* succeeds(`{"mode":"slow-reader","bytes_per_second":500}`, 0.2, 0.5)

      yield* setMode(hive.url, "wrong-model")
      yield* hasModel(queen.url, "wrong-llama3")
      const missing = yield* post(queen.url, chatPath, { ...chat, model: "llama3" })
      assert.strictEqual(missing.status, 404, missing.text)
      yield* setMode(hive.url, "ok")

      const [before] = yield* workersOf(hive.url)
      yield* setMode(hive.url, `{"mode":"slow","delay_ms":200}`)
      const id = yield* submitTo(queen.url, { ...infer, max_tokens: 60 })
      yield* logOf(queen.url, id, (log) => log.includes("event: token"))
      yield* hive.kill
      const ended = yield* timed(logOf(queen.url, id))
      assert.include(ended.value, `"code":"ConnectionFailed"`)
      assert.isBelow(ended.seconds, 2 + slack)
      const again = yield* startHive(home, queen.url, ["--interval-ms", "5"], port)
      yield* until(inferAt(queen.url), (outcome) => outcome.text === text)
      // The worker outlived its hive.
      assert.strictEqual((yield* workersOf(again.url))[0]?.url, before?.url)
    })
  )

  it.live("of two, one with a fault: the client receives the undisturbed text", () =>
    Effect.gen(function* () {
      const home = yield* temporaryFolder
      const queen = yield* startQueen(home)
      const faulty = ["--hive-id", "atlas", "--worker-mode", `{"mode":"drop","after":4}`]
      yield* startHive(home, queen.url, [...faulty, "--tokens", "20"])
      yield* hasModel(queen.url, "llama3")
      const alone = yield* chatAt(queen.url, { model: "llama3" })
      assert.include(alone.value.received, `"error":`)
      const boreas = yield* startHive(home, queen.url, ["--hive-id", "boreas", "--tokens", "20"])
      const status = Effect.flatMap(submitTo(queen.url, { operation: "status" }), (id) =>
        logOf(queen.url, id)
      )
      yield* until(status, (log) => /"models":.*"hive":"boreas"/.test(log))
      const expected = yield* post(boreas.url, chatPath, { ...chat, model: "llama3" })
      const { content } = JSON.parse(expected.text).choices[0].message
      const began = yield* until(
        Effect.map(chatAt(queen.url, { model: "llama3" }), ({ value }) => {
          assert.strictEqual(textIn(value.data), content, value.received)
          assert.strictEqual(value.data.at(-1), "[DONE]")
          return value.hive
        }),
        (hive) => hive === "atlas",
        "60 seconds"
      )
      assert.strictEqual(began, "atlas")
    })
  )

  it.live("refuses what it cannot be", () =>
    Effect.gen(function* () {
      const home = yield* temporaryFolder
      const mode = yield* rbee(home, ["mock", "hive", "--mode", "dorp"])
      assert.strictEqual(mode.code, 2)
      assert.include(mode.stderr, "Invalid --mode: Unknown mode 'dorp'; write a mode (ok, slow, hang,")
      const port = yield* rbee(home, ["mock", "worker", "--port", "0"])
      assert.strictEqual(port.code, 2)
      assert.include(port.stderr, "Invalid --port 0: expected 1 to 65535")
      const taken = yield* startRbee(home, ["mock", "worker", "--port", String(yield* freePort)])
      const second = yield* rbee(home, ["mock", "worker", "--port", new URL(taken.url).port])
      assert.strictEqual(second.code, 1)
      assert.include(second.stderr, "is in use by")
    })
  )
})

describe("a mock worker", () => {
  it.live("as an engine of a hive shows its clients each mode", () =>
    Effect.gen(function* () {
      const home = yield* temporaryFolder
      mkdirSync(join(home, "config"), { recursive: true })
      const flags = ["--port", "{port}", "--model", "{model_id}", "--interval-ms", "5", "--tokens", "8"]
      const command = JSON.stringify([process.execPath, program, "mock", "worker", ...flags])
      writeFileSync(
        join(home, "config/config.toml"),
        `[engine]\nname = "mock"\n[engines.mock]\ncommand = ${command}\n`
      )
      const hive = yield* startRbee(home, ["hive", "serve", "--port", String(yield* freePort)], env)
      const model = { model: "rbee:tiny" }
      const text = textIn((yield* chatAt(hive.url, model)).value.data)
      assert.match(text, /^(\w+ ){7}\w+\.$/)
      const [worker] = yield* workersOf(hive.url)
      const workerUrl = worker?.url ?? ""

      const succeeds = Effect.fnUntraced(function* (mode: string, atLeast: number, atMost: number) {
        yield* setMode(workerUrl, mode)
        const { seconds, value } = yield* chatAt(hive.url, model)
        assert.strictEqual(textIn(value.data), text, value.received)
        assert.strictEqual(value.data.at(-1), "[DONE]")
        assert.isAtLeast(seconds, atLeast, mode)
        assert.isBelow(seconds, atMost + slack, mode)
      })
      /** The stream ends with the error, after whatever came before. */
      const fails = Effect.fnUntraced(function* (mode: string, status: number, code: string, atMost: number) {
        yield* setMode(workerUrl, mode)
        const { seconds, value } = yield* chatAt(hive.url, model)
        assert.strictEqual(value.status, status, mode)
        assert.include(value.received, `"code":"${code}"`, mode)
        assert.isBelow(seconds, atMost + slack, mode)
        assert.isAbove((yield* modeOf(workerUrl)).faults, 0)
      })

      yield* succeeds(`{"mode":"slow","delay_ms":50}`, 0.4, 1)
      yield* fails("hang", 504, "WorkerSilent", 2)
      yield* fails(`{"mode":"hang","after":5}`, 200, "WorkerSilent", 2)
      yield* fails(`{"mode":"flaky","every":1}`, 500, "mock_fault", 0)
      yield* succeeds(`{"mode":"flaky","every":2}`, 0, 0)
      yield* fails("drop", 503, "WorkerFailed", 2)
      yield* fails(`{"mode":"drop","after":3}`, 200, "WorkerFailed", 2)
      yield* fails("malformed", 200, "WorkerFailed", 2)
      yield* fails(`{"mode":"malformed","after":3}`, 200, "WorkerFailed", 2)
      yield* fails("wrong-model", 404, "model_not_found", 0)
      yield* fails(`{"mode":"slow-reader","bytes_per_second":10}`, 504, "WorkerSilent", 2)
      yield* succeeds("ok", 0, 0)
    })
  )
})

describe("the README's commands", () => {
  it.live("do what the README says", () =>
    Effect.gen(function* () {
      const home = yield* temporaryFolder
      const bin = join(home, "bin")
      mkdirSync(bin)
      writeFileSync(join(bin, "rbee"), `#!/bin/sh\nexec "${process.execPath}" "${program}" "$@"\n`)
      chmodSync(join(bin, "rbee"), 0o755)
      const ports = new Map<string, string>()
      for (const port of ["8500", "8090", "8091"]) ports.set(port, String(yield* freePort))
      const readme = readFileSync(new URL("../../src/hive/mock/README.md", import.meta.url), "utf8")
      const lines = readme
        .split("\n")
        .filter((line) => /^ {4}(rbee|curl|until|#) /.test(line))
        .map((line) => line.trim().replaceAll(/\b(8500|8090|8091)\b/g, (port) => ports.get(port) ?? port))
      assert.isAbove(lines.length, 12)
      let printed = ""
      for (const line of lines) {
        if (line.startsWith("# ")) assert.include(printed, line.slice(2))
        else if (line.endsWith(" &")) yield* startRbee(home, line.slice(0, -2).split(" ").slice(1))
        else printed = yield* runScript(line, `${bin}:${process.env["PATH"]}`)
      }
    })
  )
})
