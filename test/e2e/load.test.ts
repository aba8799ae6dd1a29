import { NodeServices } from "@effect/platform-node"
import { assert, describe, it } from "@effect/vitest"
import { Clock, Duration, Effect, Fiber, Layer, Option } from "effect"
import { vi } from "vitest"
import { Pids, type ProcessId } from "../../src/system/Pids.ts"
import { type Came, read } from "../support/applications.ts"
import { ask } from "../support/daemon.ts"
import { type Fleet, startFleet } from "../support/fleet.ts"
import { Random } from "../support/Random.ts"
import { until } from "../support/until.ts"

const seconds = Number(process.env["RBEE_TEST_LOAD_SECONDS"] ?? 10)
vi.setConfig({ testTimeout: (seconds + 240) * 1000 })

const hives = ["atlas", "boreas", "cygnus"]
const models = ["rbee:tiny", "alpha", "beta", "gamma", "delta"]
const keys = ["ann", "ben", "cat"]
const clients = 12
/** Room for one worker on each hive, and not for two. */
const memoryBytes = 200_000_000

const words = ["whale", "sea", "captain", "ball", "letter", "storm", "dinner", "carriage"]

/** What one application asks for: how often of a hundred times, and whether the answer is what it must be. */
interface Kind {
  readonly share: number
  readonly path: string
  readonly leave?: (random: () => number) => NonNullable<Parameters<typeof read>[4]>
  readonly body: (word: string, random: () => number) => object
  readonly isRight: (came: Came) => boolean
}

const chatOf = (word: string, random: () => number) => ({
  messages: [{ role: "user", content: `Tell me about the ${word}.` }],
  max_tokens: 20 + Math.floor(random() * 150)
})
const streamOf = (word: string, random: () => number) => ({ ...chatOf(word, random), stream: true })

const documentOf = ({ data }: Came) => JSON.parse(data[0] ?? "null")
const isUnbroken = ({ data, status }: Came) =>
  status === 200 && !data.some((item) => item.startsWith('{"error"'))

const kinds: Readonly<Record<string, Kind>> = {
  stream: {
    share: 35,
    path: "/v1/chat/completions",
    body: streamOf,
    isRight: (came) => isUnbroken(came) && came.data.at(-1) === "[DONE]"
  },
  "left in mid-stream": {
    share: 10,
    path: "/v1/chat/completions",
    body: streamOf,
    leave: (random) => ({ afterPieces: 5 + Math.floor(random() * 20) }),
    isRight: isUnbroken
  },
  "left before it began": {
    share: 10,
    path: "/v1/chat/completions",
    body: streamOf,
    leave: (random) => ({ afterMillis: random() * 1000 }),
    isRight: (came) => came.status === 0 || isUnbroken(came)
  },
  chat: {
    share: 20,
    path: "/v1/chat/completions",
    body: chatOf,
    isRight: (came) => isUnbroken(came) && typeof documentOf(came).choices[0].message.content === "string"
  },
  completion: {
    share: 15,
    path: "/v1/completions",
    body: (word) => ({ prompt: `The ${word}`, max_tokens: 20 }),
    isRight: (came) => isUnbroken(came) && typeof documentOf(came).choices[0].text === "string"
  },
  embeddings: {
    share: 10,
    path: "/v1/embeddings",
    body: (word) => ({ input: [`The ${word}`, word] }),
    isRight: (came) => isUnbroken(came) && documentOf(came).data.length === 2
  }
}

const everyKind = Object.entries(kinds).flatMap(([name, kind]) =>
  Array.from({ length: kind.share }, () => ({ name, ...kind }))
)

interface Seen {
  readonly counts: Map<string, number>
  readonly firstAfter: Array<number>
  readonly workers: Set<unknown>
  readonly errors: Array<string>
}

/** One application that asks for one thing after the other until the time is over. */
const application = Effect.fnUntraced(function* (fleet: Fleet, number: number, endsAt: number, seen: Seen) {
  const numbers = new Random(number + 1)
  const random = () => numbers.next()
  const from = <A>(list: ReadonlyArray<A>, place: number): A => {
    const one = list[Math.floor(place * list.length)]
    if (one === undefined) throw new Error("the list is empty")
    return one
  }
  const oneOf = <A>(list: ReadonlyArray<A>) => from(list, random())
  while ((yield* Clock.currentTimeMillis) < endsAt) {
    const { body, isRight, leave, name, path } = oneOf(everyKind)
    // Some models are asked for more than others.
    const asked = { ...body(oneOf(words), random), model: from(models, random() ** 2) }
    const headers = { authorization: `Bearer ${fleet.keyOf(oneOf(keys))}` }
    const came = yield* read(fleet.queenUrl, path, asked, headers, leave?.(random))
    seen.counts.set(name, (seen.counts.get(name) ?? 0) + 1)
    seen.workers.add(came.headers["x-rbee-worker"])
    if ("stream" in asked && came.firstAfter !== undefined) seen.firstAfter.push(came.firstAfter)
    if (!isRight(came)) {
      seen.errors.push(
        `${name} of ${asked.model}: ${came.status} ${came.data.slice(-2).join(" ").slice(0, 500)}`
      )
    }
  }
})

/** Notes the process of every worker that there is, again and again. */
const watchProcesses = ({ workers }: Fleet, pids: Pids["Service"], seen: Map<string, ProcessId>) =>
  Effect.gen(function* () {
    for (const { pid } of yield* workers) {
      const startTime = pid === undefined ? Option.none<string>() : yield* pids.startTime(pid)
      if (pid === undefined || Option.isNone(startTime)) continue
      seen.set(`${pid} ${startTime.value}`, { pid, startTime: startTime.value })
    }
  }).pipe(Effect.delay("200 millis"), Effect.forever)

const isUnderWay = /"state":"(queued|running)"/

/** Waits five seconds at most; what did not come is for the assertion after it to tell. */
const soon = <A, E, R>(wait: Effect.Effect<A, E, R>) => Effect.ignore(Effect.timeout(wait, "5 seconds"))

const quantile = (values: ReadonlyArray<number>, share: number) => {
  const sorted = values.toSorted((one, other) => one - other)
  return Math.round(sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? Number.NaN)
}

describe("a fleet under load", () => {
  it.live(`of ${models.length} models, of which ${hives.length} fit, answers everything`, () =>
    Effect.gen(function* () {
      const pids = yield* Pids
      const processes = new Map<string, ProcessId>()
      const seen: Seen = { counts: new Map(), firstAfter: [], workers: new Set(), errors: [] }
      yield* Effect.scoped(
        Effect.gen(function* () {
          const fleet = yield* startFleet({
            hives,
            memoryBytes,
            models: models.slice(1),
            keys: keys.map((name) => ({ name })),
            queen: { scheduler: { minResidency: Duration.seconds(2), starvationBound: Duration.seconds(5) } }
          })
          const watching = yield* Effect.forkChild(watchProcesses(fleet, pids, processes))
          const endsAt = (yield* Clock.currentTimeMillis) + seconds * 1000
          yield* Effect.forEach(
            Array.from({ length: clients }, (_, number) => number),
            (number) => application(fleet, number, endsAt, seen),
            { concurrency: "unbounded" }
          )

          // Nothing is left over of what the applications asked for, nor of what they left, which takes its time to stop.
          const load = { waiting: 0, requests: 0, tokens: 0, loading: 0 }
          yield* until(fleet.scheduler.load, (now) => now.loading === 0)
          yield* soon(until(fleet.scheduler.load, (now) => now.requests + now.waiting === 0))
          assert.deepStrictEqual(yield* fleet.scheduler.load, load)
          // It asks by jobs of its own.
          yield* Fiber.interrupt(watching)
          for (const url of [fleet.queenUrl, ...Object.values(fleet.hiveUrls)]) {
            const jobs = ask(url, { path: "/v1/jobs" })
            yield* soon(until(jobs, ({ text }) => !isUnderWay.test(text)))
            assert.notMatch((yield* jobs).text, isUnderWay)
          }
          const inventories = yield* Effect.forEach(hives, (id) => fleet.hive(id).inventory)
          const workers = inventories.flatMap(({ workers }) => workers)
          assert.isTrue(workers.every(({ busy }) => busy === 0))
          assert.isAtMost(workers.length, hives.length)

          seen.workers.delete(undefined)
          const requests = Object.fromEntries(seen.counts)
          yield* Effect.logInfo("the load is over", {
            seconds,
            requests: [...seen.counts.values()].reduce((sum, count) => sum + count, 0),
            ...requests,
            errors: seen.errors.length,
            firstTokenMillis: { p50: quantile(seen.firstAfter, 0.5), p99: quantile(seen.firstAfter, 0.99) },
            longestFirstTokenMillis: quantile(seen.firstAfter, 1),
            loads: seen.workers.size,
            evictions: seen.workers.size - workers.length
          })
        })
      )
      assert.deepStrictEqual(seen.errors, [])
      assert.isAbove(seen.workers.size, hives.length)
      assert.isAtLeast(processes.size, hives.length)
      assert.deepStrictEqual(yield* Effect.filter(processes.values(), pids.isAlive), [])
    }).pipe(Effect.provide(Pids.layer.pipe(Layer.provide(NodeServices.layer))))
  )
})
