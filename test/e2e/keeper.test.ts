import { readdirSync, readFileSync } from "node:fs"
import { join } from "node:path"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Schedule } from "effect"
import { FakeHive } from "../../src/testing/FakeHive.ts"
import { freePort } from "../support/ports.ts"
import { rbee, temporaryFolder } from "../support/rbee.ts"
import { until } from "../support/until.ts"

/** The processes that belong to a home, by what stands in their environment (proc(5)). */
const processesOf = (home: string) =>
  readdirSync("/proc")
    .filter((name) => /^\d+$/.test(name))
    .filter((pid) => {
      try {
        return readFileSync(`/proc/${pid}/environ`, "utf8").includes(`RBEE_HOME=${home}\0`)
      } catch {
        return false
      }
    })
    .map(Number)

/** The command line of the hive's daemon in a home (proc(5)). */
const hiveCommandOf = (home: string) =>
  processesOf(home)
    .map((pid) => readFileSync(`/proc/${pid}/cmdline`, "utf8").replaceAll("\0", " "))
    .find((command) => command.includes(" hive serve "))

/** A home of its own with ports of its own; whatever was started in it is stopped at the end. */
const fleet = Effect.gen(function* () {
  const home = yield* temporaryFolder
  const env = { RBEE_QUEEN_PORT: String(yield* freePort), RBEE_HIVE_PORT: String(yield* freePort) }
  const run = (...args: ReadonlyArray<string>) => rbee(home, args, { env })
  yield* Effect.addFinalizer(() => run("stop"))
  return { home, env, run }
})

const prompt = "It was a truth universally acknowledged that"
const infer = ["infer", "--model", "rbee:tiny", "--max-tokens", "12", prompt] as const

describe("the main use case", () => {
  it.live("starts the daemons, prints tokens, keeps them running, and stops without leaving a process", () =>
    Effect.gen(function* () {
      const { env, home, run } = yield* fleet
      const cold = yield* run(...infer)
      assert.strictEqual(cold.code, 0, cold.stderr)
      assert.isAbove(cold.stdout.trim().length, 5)
      assert.include(cold.stderr, "Starting the queen")
      assert.include(cold.stderr, "Starting hive 'localhost'")
      assert.include(cold.stderr, "No worker serves rbee:tiny; starting one")
      assert.strictEqual(processesOf(home).length, 3)

      const warm = yield* run(...infer)
      assert.notInclude(warm.stderr, "tarting")
      const status = JSON.parse((yield* run("status", "--json")).stdout)
      assert.strictEqual(status.hives[0].state, "active")
      const [worker] = status.workers
      assert.deepInclude(worker, { hive: "localhost", model_id: "rbee:tiny", state: "ready" })
      const cpu = status.devices.at(-1)
      assert.isTrue(cpu.id === "CPU-0" && cpu.total_gb > 0 && cpu.used_gb <= cpu.total_gb)
      assert.strictEqual(status.models[0].id, "rbee:tiny")

      assert.include(
        hiveCommandOf(home),
        `--hive-id localhost --host 127.0.0.1 --port ${env.RBEE_HIVE_PORT} ` +
          `--queen-url http://127.0.0.1:${env.RBEE_QUEEN_PORT}`
      )
      for (const [command, processes] of [
        ["start", 3],
        ["stop", 1],
        ["stop", 1]
      ] as const) {
        assert.strictEqual((yield* run("hive", command, "localhost")).code, 0, command)
        assert.strictEqual(processesOf(home).length, processes, command)
      }

      const stopped = yield* run("stop")
      assert.strictEqual(stopped.code, 0)
      assert.deepStrictEqual(processesOf(home), [])
      assert.include((yield* run("stop")).stderr, "Nothing was running")
    })
  )

  it.live("stops only the named hive and its workers", () =>
    Effect.gen(function* () {
      const { env, home, run } = yield* fleet
      yield* run(...infer)
      const queen = ["--queen-url", `http://127.0.0.1:${env.RBEE_QUEEN_PORT}`]
      const serve = (port: string) =>
        run("hive", "serve", "--detach", "--hive-id", "other", "--port", port, ...queen)
      yield* serve(String(yield* freePort))
      const spawned = yield* run("worker", "spawn", "--model", "rbee:tiny", "--hive-id", "other")
      assert.strictEqual(spawned.code, 0, spawned.stderr)
      assert.strictEqual(processesOf(home).length, 5)

      yield* run("hive", "stop", "localhost")
      assert.strictEqual(processesOf(home).length, 3)
      assert.include(hiveCommandOf(home), "--hive-id other")

      // One that has taken the address of the hive that is meant is not that hive.
      yield* run("stop", "--hive-id", "other")
      yield* serve(env.RBEE_HIVE_PORT)
      assert.include((yield* run("hive", "stop", "localhost")).stderr, "is not running")
      assert.include(hiveCommandOf(home), "--hive-id other")
    })
  )

  it.live("starts a healthy hive within 1.5 seconds", () =>
    Effect.gen(function* () {
      const { env, home, run } = yield* fleet
      const url = `http://127.0.0.1:${env.RBEE_HIVE_PORT}/health`
      const isHealthy = Effect.tryPromise(() => fetch(url)).pipe(Effect.filterOrFail(({ ok }) => ok))
      const waits = Schedule.spaced("10 millis").pipe(Schedule.upTo({ duration: "10 seconds" }))
      const start = Effect.gen(function* () {
        const startedAt = performance.now()
        yield* Effect.forkScoped(run("hive", "serve", "--hive-id", "localhost", "--port", env.RBEE_HIVE_PORT))
        yield* Effect.retry(isHealthy, waits)
        return performance.now() - startedAt
      }).pipe(Effect.scoped)
      // The other tests of the run have the same cores, so the quickest of five counts.
      let quickest = Number.POSITIVE_INFINITY
      for (let round = 0; round < 5 && quickest >= 1_500; round++) {
        quickest = Math.min(quickest, yield* start)
        yield* until(
          Effect.sync(() => processesOf(home).length),
          (count) => count === 0
        )
      }
      assert.isBelow(quickest, 1_500)
    })
  )

  it.live("starts one queen and one hive for two concurrent commands", () =>
    Effect.gen(function* () {
      const { home, run } = yield* fleet
      const [one, two] = yield* Effect.all([run(...infer), run(...infer)], { concurrency: 2 })
      assert.deepStrictEqual([one.code, two.code], [0, 0], one.stderr + two.stderr)
      assert.strictEqual(processesOf(home).length, 3)
    })
  )

  it.live("stops the workers of a killed hive, and starts a queen after a killed one", () =>
    Effect.gen(function* () {
      const { home, run } = yield* fleet
      yield* run(...infer)
      for (const name of ["queen", "hive-localhost"]) {
        const { pid } = JSON.parse(readFileSync(join(home, "state", "run", `${name}.json`), "utf8"))
        process.kill(pid, "SIGKILL")
      }
      // Only the worker is left, once the kills have been carried out.
      yield* until(
        Effect.sync(() => processesOf(home).length),
        (count) => count === 1,
        "5 seconds"
      )
      yield* run("stop")
      assert.deepStrictEqual(processesOf(home), [])
    })
  )

  it.live("leaves no process that a later stop does not end, wherever it is interrupted", () =>
    Effect.gen(function* () {
      const { env, home, run } = yield* fleet
      for (const moment of ["Starting the queen", "Starting hive", "starting one", "continues the prompt"]) {
        const ran = yield* rbee(home, infer, {
          env,
          onStderr: (child, stderr) => {
            if (stderr.includes(moment)) child.kill("SIGINT")
          }
        })
        assert.include([0, 130], ran.code, `${moment}: ${ran.stderr}`)
        yield* run("stop")
        assert.deepStrictEqual(processesOf(home), [], moment)
      }
    })
  )
})

describe("errors", () => {
  it.live("names the missing device, and how to download a model", () =>
    Effect.gen(function* () {
      const { run } = yield* fleet
      const request = {
        operation: "worker_spawn",
        hive_id: "localhost",
        model: "llama2",
        worker: "gpu-7",
        device: 7
      }
      yield* run("hive", "start")
      const device = yield* run("op", JSON.stringify(request))
      assert.strictEqual(device.code, 1)
      assert.match(device.stderr, /❌ Error: Device 'gpu-7' not found; available devices: .*cpu-0 \(CPU/)
      const model = yield* run("op", JSON.stringify({ ...request, worker: "cpu", device: 0 }))
      assert.match(
        model.stderr,
        /❌ Error: Model 'llama2' is not on this hive; download one with 'rbee model download ID'/
      )
    })
  )

  it.live("refuses to listen beyond loopback without a token, and requires the token from every client", () =>
    Effect.gen(function* () {
      const { home, env } = yield* fleet
      const refused = yield* rbee(home, ["queen", "serve", "--host", "0.0.0.0"], { env })
      assert.strictEqual(refused.code, 1)
      assert.include(refused.stderr, "Refusing to listen on 0.0.0.0 without a token")
      const short = yield* rbee(home, ["queen", "serve"], { env: { ...env, RBEE_TOKEN: "short" } })
      assert.include(short.stderr, "at least 16")
      const withToken = { ...env, RBEE_TOKEN: "a-token-of-some-length" }
      assert.strictEqual((yield* rbee(home, ["queen", "start"], { env: withToken })).code, 0)
      assert.strictEqual((yield* rbee(home, ["hive", "list"], { env: withToken })).code, 0)
      const stranger = yield* rbee(home, ["jobs", "list"], { env })
      assert.strictEqual(stranger.code, 1)
      assert.include(stranger.stderr, "RBEE_TOKEN")
      yield* rbee(home, ["stop"], { env: withToken })
    })
  )

  it.live("reports a program that occupies the queen's port", () =>
    Effect.gen(function* () {
      const { home, env } = yield* fleet
      const other = yield* FakeHive.makeRaw(
        (_request, response) => void response.writeHead(404).end("nothing here")
      )
      const taken = yield* rbee(home, ["queen", "start"], {
        env: { ...env, RBEE_QUEEN_PORT: String(other.port) }
      })
      assert.strictEqual(taken.code, 1)
      assert.include(taken.stderr, `Port ${other.port} on 127.0.0.1 is in use`)
    })
  )
})
