import { assert, describe, it } from "@effect/vitest"
import { LogLines } from "../../../src/hive/workers/LogLines.ts"

const encoder = new TextEncoder()

describe("LogLines", () => {
  it("gives complete lines, wherever the bytes are cut", () => {
    const bytes = encoder.encode("größe\r\nzwei\n\nrest")
    for (let cut = 0; cut <= bytes.length; cut++) {
      const lines = new LogLines()
      const read = [...lines.add(bytes.subarray(0, cut)), ...lines.add(bytes.subarray(cut))]
      assert.deepStrictEqual([read, lines.end(), lines.end()], [["größe", "zwei", ""], ["rest"], []])
    }
  })

  it("cuts a long line into pieces, also before its end", () => {
    const lines = new LogLines()
    assert.deepStrictEqual(lines.add(encoder.encode("x".repeat(8193))), ["x".repeat(8192)])
    assert.deepStrictEqual(lines.add(encoder.encode("y\n")), ["xy"])
  })
})
