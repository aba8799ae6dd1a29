import { assert, describe, it } from "@effect/vitest"
import { Effect, FileSystem } from "effect"
import { parseStartLog, readStartLog } from "../../src/daemon/startLog.ts"

const info = "[04:53:24.019] INFO (#20): loading a model {\n  model: 'm'\n}"
const warning = "[04:53:25.019] WARN (#20): fleet.json cannot be read {\n  file: '/x'\n}"

describe("parseStartLog", () => {
  it("finds the last error sentence, and then gives no lines", () =>
    assert.deepStrictEqual(parseStartLog(`${info}\n❌ Error: first\nat x\n❌ Error: Port 8500 is in use\n`), {
      error: "Port 8500 is in use",
      lastLines: []
    }))

  it("otherwise gives the last ten lines, without records below a warning and without empty lines", () => {
    const lines = Array.from({ length: 12 }, (_, index) => `line ${index + 1}`)
    assert.deepStrictEqual(parseStartLog(`${info}\n${warning}\n\n${lines.join("\n")}\n${info}`), {
      error: undefined,
      lastLines: lines.slice(2)
    })
    assert.deepStrictEqual(parseStartLog(`${info}\n${warning}\n`).lastLines, warning.split("\n"))
    assert.deepStrictEqual(parseStartLog(""), { error: undefined, lastLines: [] })
  })
})

describe("readStartLog", () => {
  const log = (text: string) =>
    FileSystem.layerNoop({
      readFileString: (file) => (file === "/log" ? Effect.succeed(text) : Effect.die(`not ${file}`))
    })

  it.effect("skips the bytes of earlier starts, also where a character has several bytes", () =>
    Effect.gen(function* () {
      const earlier = "❌ Error: an earlier start\n"
      const { error, lastLines } = yield* readStartLog("/log", Buffer.byteLength(earlier)).pipe(
        Effect.provide(log(`${earlier}this start\n`))
      )
      assert.deepStrictEqual([error, lastLines], [undefined, ["this start"]])
    })
  )

  it.effect("takes a file that cannot be read for an empty one", () =>
    Effect.gen(function* () {
      const read = yield* readStartLog("/gone", 0).pipe(Effect.provide(FileSystem.layerNoop({})))
      assert.deepStrictEqual(read, { error: undefined, lastLines: [] })
    })
  )
})
