import * as fs from "node:fs"
import * as os from "node:os"
import * as path from "node:path"
import { afterEach, assert, beforeEach, describe, it } from "vitest"
import { Journal } from "../../src/store/Journal.ts"
import {
  journalMagic,
  type JournalFault,
  type PartKind,
  partKinds,
  readJournalFile
} from "../../src/store/journalFormat.ts"

let folder = ""
beforeEach(() => {
  folder = fs.mkdtempSync(path.join(os.tmpdir(), "rbee-journal-"))
})
afterEach(() => fs.rmSync(folder, { recursive: true, force: true }))

const open = (options: { readonly folder?: string; readonly sync?: "full" | "process" } = {}) => {
  const failures: Array<unknown> = []
  const journal = new Journal(
    { folder, sync: "process", onFailure: (error) => failures.push(error), ...options },
    1,
    0
  )
  const append = (seq: number, text: string, kind: PartKind = partKinds.events) => {
    const bytes = Buffer.from(text)
    journal.append(kind, seq, bytes, 0, bytes.length)
  }
  const written = () => new Promise<void>((resolve) => journal.afterWrite(resolve))
  return { journal, append, written, failures }
}

const fileOf = (number: number) => path.join(folder, `0000000${number}.journal`)

const read = (content: Buffer): { readonly texts: ReadonlyArray<string>; readonly fault?: JournalFault } => {
  const texts: Array<string> = []
  const fault = readJournalFile(content, ({ bytes, kind, seq }) => texts.push(`${kind} ${seq} ${bytes}`))
  return fault === undefined ? { texts } : { texts, fault }
}

describe("Journal", () => {
  it("writes the parts of one turn with one write, before it calls those that wait", async () => {
    const { append, journal, written } = open()
    append(1, "a")
    append(2, "b")
    assert.strictEqual(fs.readFileSync(fileOf(1)).length, journalMagic.length)
    await written()
    const content = fs.readFileSync(fileOf(1))
    assert.deepStrictEqual(read(content), { texts: ["1 1 a", "1 2 b"] })
    // One head of a block, two of parts, two bytes.
    assert.strictEqual(content.length, journalMagic.length + 8 + 2 * 9 + 2)
    append(1, "", partKinds.stored)
    await written()
    assert.deepStrictEqual(read(fs.readFileSync(fileOf(1))).texts, ["1 1 a", "1 2 b", "3 1 "])
    journal.close()
  })

  it("with sync = full calls those that wait after the disk has the data, and keeps the order", async () => {
    const { append, journal, written } = open({ sync: "full" })
    const called: Array<string> = []
    append(1, "a")
    const first = written().then(() => called.push("first"))
    await new Promise(setImmediate)
    append(1, "b")
    const second = written().then(() => called.push("second"))
    await Promise.all([first, second])
    assert.deepStrictEqual(called, ["first", "second"])
    assert.deepStrictEqual(read(fs.readFileSync(fileOf(1))).texts, ["1 1 a", "1 1 b"])
    journal.close()
  })

  it("writes turns larger than its buffer, and parts larger than a block", async () => {
    const { append, journal, written } = open()
    const texts = Array.from({ length: 300 }, (_, i) => String(i).repeat(10_000))
    const large = "x".repeat(5_000_000)
    for (const text of [...texts, large]) append(7, text)
    await written()
    assert.deepStrictEqual(
      read(fs.readFileSync(fileOf(1))).texts,
      [...texts, large].map((text) => `1 7 ${text}`)
    )
    journal.close()
  })

  it("is read up to any byte at which its writer was killed", async () => {
    const { append, journal, written } = open()
    for (const text of ["one", "two", "three"]) {
      append(1, text)
      await written()
    }
    journal.close()
    const content = fs.readFileSync(fileOf(1))
    const ends = [0, 3, 6, 11].map((bytes, blocks) => journalMagic.length + blocks * 17 + bytes)
    for (let length = journalMagic.length; length <= content.length; length++) {
      const whole = ends.filter((end) => end <= length).length - 1
      const expected = ["1 1 one", "1 1 two", "1 1 three"].slice(0, whole)
      const torn = ends.includes(length) ? {} : { fault: "torn" }
      assert.deepStrictEqual<unknown>(read(content.subarray(0, length)), { texts: expected, ...torn })
    }
  })

  it("is damaged where a checksum is wrong, and foreign without its first bytes", async () => {
    const { append, journal, written } = open()
    append(1, "one")
    await written()
    append(1, "two")
    await written()
    journal.close()
    const content = fs.readFileSync(fileOf(1))
    content[journalMagic.length + 18] = 88
    assert.deepStrictEqual<unknown>(read(content), { texts: [], fault: "damaged" })
    assert.deepStrictEqual<unknown>(read(Buffer.from("something else")), { texts: [], fault: "foreign" })
  })

  it("continues in a new file, and removes old ones", async () => {
    const { append, journal, written } = open()
    append(1, "old")
    assert.isTrue(journal.rotate())
    append(1, "new")
    await written()
    assert.deepStrictEqual(read(fs.readFileSync(fileOf(2))).texts, ["1 1 new"])
    journal.dropBelow(2)
    assert.deepStrictEqual(fs.readdirSync(folder), ["00000002.journal"])
    journal.close()
  })

  it("drops parts while it cannot write, still calls those that wait, and begins again", async () => {
    const blocked = path.join(folder, "blocked")
    fs.writeFileSync(blocked, "a file, where the journal needs a folder")
    const { append, failures, journal, written } = open({ folder: blocked })
    assert.strictEqual(failures.length, 1)
    append(1, "lost")
    await written()
    assert.isFalse(journal.retry())
    fs.rmSync(blocked)
    assert.isTrue(journal.retry())
    append(1, "kept")
    await written()
    const file = path.join(blocked, "00000001.journal")
    assert.deepStrictEqual(read(fs.readFileSync(file)).texts, ["1 1 kept"])
    journal.close()
  })
})
