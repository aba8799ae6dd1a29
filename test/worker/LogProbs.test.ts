import { assert, describe, it } from "@effect/vitest"
import { LogProbs } from "../../src/worker/LogProbs.ts"
import { TextAssembler } from "../../src/worker/TextAssembler.ts"

/** Feeds single bytes as tokens; gives each text that was shown and the tokens that came with it. */
const feed = (text: string, stops: ReadonlyArray<string>) => {
  const assembler = new TextAssembler<number>((bytes) => Buffer.from(bytes).toString(), stops, [])
  const logprobs = new LogProbs<number>((byte) => Buffer.from([byte]).toString(), 1)
  const shown: Array<readonly [string, string]> = []
  const show = (piece: string) => {
    const tokens = logprobs.take(assembler.shown).map(({ token }) => token)
    if (piece !== "" || tokens.length > 0) shown.push([piece, tokens.join("")])
  }
  for (const byte of Buffer.from(text)) {
    if (assembler.stop !== undefined) break
    logprobs.push(byte, new Map([[byte, 0.5]]), assembler.length)
    show(assembler.push(byte))
  }
  show(assembler.end())
  return shown
}

describe("LogProbs", () => {
  it("are emitted with the text of their tokens", () => {
    assert.deepStrictEqual(feed("aENbEND", ["END"]), [
      ["a", "a"],
      ["ENb", "ENb"]
    ])
    assert.deepStrictEqual(feed("aEE", ["EEE"]), [
      ["a", "a"],
      ["EE", "EE"]
    ])
    assert.deepStrictEqual(feed("aé", []), [
      ["a", "a"],
      ["é", "\uFFFD\uFFFD"]
    ])
  })

  it("list the most likely tokens in order, without infinities and half characters", () => {
    const logprobs = new LogProbs<number>((byte) => Buffer.from([byte]).toString(), 3)
    const probabilities = new Map([
      [97, 0.1],
      [98, 0.4],
      [99, 0],
      [100, 0.2],
      [233, 0.3]
    ])
    logprobs.push(99, probabilities, 0)
    const [only] = logprobs.take(1)
    assert.strictEqual(only?.logprob, -9999)
    assert.deepStrictEqual(
      only?.top.map(({ bytes, logprob }) => [bytes, Math.exp(logprob).toFixed(2)]),
      [
        [[98], "0.40"],
        [null, "0.30"],
        [[100], "0.20"]
      ]
    )
    assert.deepStrictEqual(logprobs.take(9), [])
  })
})
