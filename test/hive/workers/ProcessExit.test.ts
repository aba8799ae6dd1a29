import { assert, describe, it } from "@effect/vitest"
import { exitSentence, isKilled } from "../../../src/hive/workers/ProcessExit.ts"

const exits = [
  [{ code: null, signal: "SIGKILL" }, "its process was ended by SIGKILL", true],
  [{ code: null, signal: "SIGSEGV" }, "its process was ended by SIGSEGV", false],
  [{ code: 143, signal: null }, "its process ended with code 143", true],
  [{ code: 0, signal: null }, "its process ended with code 0", true],
  [{ code: 1, signal: null }, "its process ended with code 1", false],
  [{ code: null, signal: null }, "its process ended", false]
] as const

describe("the exit of a process", () => {
  for (const [exit, sentence, killed] of exits) {
    it(`${JSON.stringify(exit)} is ${killed ? "a kill from outside" : "its own end"}`, () => {
      assert.strictEqual(exitSentence(exit), sentence)
      assert.strictEqual(isKilled(exit), killed)
    })
  }
})
