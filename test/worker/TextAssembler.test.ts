import { assert, describe, it } from "@effect/vitest"
import { Schema } from "effect"
import { TextAssembler } from "../../src/worker/TextAssembler.ts"

/** Tokens that are single bytes: every character of more than one byte is cut. */
const assembler = (stops: ReadonlyArray<string> = []) =>
  new TextAssembler<number>((bytes) => Buffer.from(bytes).toString(), stops, [])

const feed = (text: string, stops: ReadonlyArray<string> = []) => {
  const assembling = assembler(stops)
  const shown: Array<string> = []
  for (const byte of Buffer.from(text)) {
    if (assembling.stop !== undefined) break
    shown.push(assembling.push(byte))
  }
  shown.push(assembling.end())
  return { shown: shown.filter((piece) => piece !== ""), stop: assembling.stop }
}

describe("TextAssembler", () => {
  it("never emits half a character", () => {
    assert.deepStrictEqual(feed("aé日🐝").shown, ["a", "é", "日", "🐝"])
    const cut = assembler()
    for (const byte of Buffer.from("🐝").subarray(0, 3)) assert.strictEqual(cut.push(byte), "")
    assert.strictEqual(cut.end(), "")
  })

  it("drops bytes that never become a character", () => {
    const broken = assembler()
    const bytes = [0x61, 0xe6, 0x62, 0x80, 0x63, 0xf0, 0x9f, 0x64]
    assert.strictEqual(bytes.map((byte) => broken.push(byte)).join("") + broken.end(), "abcd")
  })

  it("cuts at a stop string, also across pieces", () => {
    assert.deepStrictEqual(feed("one END two", ["END"]), { shown: ["o", "n", "e", " "], stop: "END" })
    assert.deepStrictEqual(feed("a\n\nb", ["\n\n"]), { shown: ["a"], stop: "\n\n" })
    assert.deepStrictEqual(feed("one END two", ["two", "END"]), { shown: ["o", "n", "e", " "], stop: "END" })
  })

  it("emits text that only starts like a stop string", () => {
    const { shown, stop } = feed("ENglish EN", ["END"])
    assert.strictEqual(shown.join(""), "ENglish EN")
    assert.isUndefined(stop)
  })

  it("cuts at the first of several stop strings", () => {
    assert.strictEqual(feed("abcdef", ["def", "bc"]).shown.join(""), "a")
  })

  it.prop("loses nothing and adds nothing", [Schema.String], ([text]) => {
    const wellFormed = Buffer.from(text).toString().replaceAll("\uFFFD", "")
    assert.strictEqual(feed(wellFormed, ["\u0001\u0002"]).shown.join(""), wellFormed)
  })
})
