import { assert, describe, it } from "@effect/vitest"
import { Deferred, Effect, Stream } from "effect"
import { JobEvent } from "../../src/job/log/JobEvent.ts"
import { hiveAnswer } from "../../src/operation/Routing.ts"
import { startDaemon, submitTo, type Works } from "../support/daemon.ts"
import { rbee, temporaryFolder } from "../support/rbee.ts"
import { tcpProxy } from "../support/tcpProxy.ts"

const words = Array.from({ length: 60 }, (_, i) => `word${i} `)
const text = `${words.join("")}\n`

/**
 * An answer that waits before each of these words until the client has lost its connection once more, so that it does not
 * end before.
 */
const answering = (waitsAt: ReadonlyArray<number>) => {
  const losses = waitsAt.map(() => Deferred.makeUnsafe<void>())
  let lost = 0
  const works: Works = {
    infer: () => ({
      work: () =>
        Stream.fromIterable(words).pipe(
          Stream.mapEffect((word, index) => {
            const loss = losses[waitsAt.indexOf(index)]
            return Effect.as(loss === undefined ? Effect.void : Deferred.await(loss), JobEvent.token(word))
          })
        ),
      routing: hiveAnswer
    })
  }
  const loses = (loss: Effect.Effect<void>) => {
    Effect.runSync(loss)
    const next = losses[lost++]
    if (next !== undefined) Deferred.doneUnsafe(next, Effect.void)
  }
  return { works, loses }
}

const request = {
  operation: "infer",
  hive_id: "atlas",
  model: "m",
  prompt: "p",
  max_tokens: 9,
  temperature: 0
}

const countOf = (text: string, part: string) => text.split(part).length - 1

describe("a broken connection to the queen", () => {
  it.live("is resumed by infer, with a message on stderr", () =>
    Effect.gen(function* () {
      const { loses, works } = answering([10, 40])
      const queen = yield* startDaemon({ works })
      const proxy = yield* tcpProxy(queen.url)
      const cuts = ["word5 ", "word30 "]
      const args = ["infer", "--queen", proxy.url, "--hive-id", "atlas", "--model", "m", "once upon"]
      const ran = yield* rbee(yield* temporaryFolder, args, {
        onStdout: (_, stdout) => {
          if (cuts[0] === undefined || !stdout.includes(cuts[0])) return
          cuts.shift()
          loses(proxy.cut)
        }
      })
      assert.deepInclude(ran, { code: 0, stdout: text })
      assert.strictEqual(
        countOf(ran.stderr, "Connection to the queen lost (connection reset); reconnecting\n"),
        2
      )
      assert.strictEqual(countOf(ran.stderr, "Reconnected to the queen\n"), 2)
    })
  )

  it.live("is resumed by infer and jobs watch after a silence of timeouts.silence", () =>
    Effect.gen(function* () {
      const env = { RBEE_TIMEOUTS_SILENCE: "1s" }
      for (const command of ["infer", "jobs watch"]) {
        const { loses, works } = answering([10])
        const queen = yield* startDaemon({ works })
        const args =
          command === "infer"
            ? ["infer", "--hive-id", "atlas", "--model", "m", "once upon"]
            : ["jobs", "watch", yield* submitTo(queen.url, request)]
        const proxy = yield* tcpProxy(queen.url)
        let isFrozen = false
        const ran = yield* rbee(yield* temporaryFolder, [...args, "--queen", proxy.url], {
          env,
          onStdout: (_, stdout) => {
            if (isFrozen || !stdout.includes("word5 ")) return
            isFrozen = true
            loses(proxy.freeze)
          }
        })
        assert.deepInclude(ran, { code: 0, stdout: text }, command)
        assert.include(
          ran.stderr,
          "Connection to the queen lost (nothing came for 1 s); reconnecting\nReconnected to the queen\n"
        )
      }
    })
  )

  it.live("is resumed by jobs watch, with each event once", () =>
    Effect.gen(function* () {
      const { loses, works } = answering([10])
      const queen = yield* startDaemon({ works })
      const proxy = yield* tcpProxy(queen.url)
      const job = yield* submitTo(queen.url, request)
      let isCut = false
      const ran = yield* rbee(
        yield* temporaryFolder,
        ["jobs", "watch", "--queen", proxy.url, "--json", job],
        {
          onStdout: (_, stdout) => {
            if (isCut || !stdout.includes("word3 ")) return
            isCut = true
            loses(proxy.cut)
          }
        }
      )
      assert.strictEqual(ran.code, 0, ran.stderr)
      assert.include(
        ran.stderr,
        "Connection to the queen lost (connection reset); reconnecting\nReconnected to the queen\n"
      )
      const ids = ran.stdout
        .split("\n")
        .filter((line) => line !== "")
        .map((line) => JSON.parse(line).id)
      assert.deepStrictEqual(
        ids,
        Array.from({ length: words.length + 2 }, (_, i) => i + 1)
      )
    })
  )

  it.live("is an error at once if jobs watch cannot reach a queen", () =>
    Effect.gen(function* () {
      const proxy = yield* tcpProxy("http://127.0.0.1:9")
      yield* proxy.close
      const from = performance.now()
      const args = ["jobs", "watch", "--queen", proxy.url, "job-00000000-0000-0000-0000-000000000000"]
      const ran = yield* rbee(yield* temporaryFolder, args)
      assert.deepInclude(ran, {
        code: 1,
        stderr: `❌ Error: Failed to connect to ${proxy.url}: connection refused\n`
      })
      assert.isBelow(performance.now() - from, 15_000)
    })
  )
})
