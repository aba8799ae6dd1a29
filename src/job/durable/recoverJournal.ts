// @effect-diagnostics nodeBuiltinImport:off -- the journal is read once, before the daemon listens
import * as fs from "node:fs"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import { systemProblem } from "../../settings/systemProblem.ts"
import type { JobRow } from "../../store/JobRows.ts"
import { type JournalFault, partKinds, readJournalFile } from "../../store/journalFormat.ts"
import { NumberedFiles } from "../../store/numberedFiles.ts"
import { setAside } from "../../store/setAside.ts"
import { StoreUnusable } from "../../store/storeErrors.ts"
import type { StoredKey } from "../JobStore.ts"
import { EventBlock } from "../log/EventBlock.ts"
import { JournalRecord } from "./jobRow.ts"

/** What a journal has of one job. */
export interface RecoveredJob {
  row: JobRow | undefined
  key: StoredKey | undefined
  /** Its events, in blocks that may repeat one another. */
  readonly blocks: Array<EventBlock>
}

const decodeRecord = Schema.decodeUnknownOption(JournalRecord)

/** What the journal has of jobs that SQLite may not have. */
class Recovery {
  readonly jobs = new Map<number, RecoveredJob>()
  lastSeq = 0

  read(content: Buffer) {
    return readJournalFile(content, ({ bytes, kind, seq }) => {
      this.lastSeq = Math.max(this.lastSeq, seq)
      if (kind === partKinds.stored) return void this.jobs.delete(seq)
      const job = this.#jobOf(seq)
      if (kind === partKinds.events) return void job.blocks.push(EventBlock.from(bytes))
      const record = Option.getOrUndefined(decodeRecord(bytes.toString("utf8")))
      if (record === undefined) return
      job.row = record.row
      job.key = record.key ?? job.key
    })
  }

  #jobOf(seq: number) {
    const known = this.jobs.get(seq)
    if (known !== undefined) return known
    const job: RecoveredJob = { row: undefined, key: undefined, blocks: [] }
    this.jobs.set(seq, job)
    return job
  }
}

const report = (file: string, fault: JournalFault) =>
  fault === "torn"
    ? Effect.logWarning("the end of a journal file is incomplete and was cut off", { file })
    : setAside([file], fault === "foreign" ? "it was not written by rbee" : "a checksum is wrong")

/** Runs a call of the system that needs the folder or a file in it. */
const attempt = <A>(file: string, call: () => A) =>
  Effect.try({
    try: call,
    catch: (error) => new StoreUnusable({ file, reason: "system", detail: systemProblem(error) })
  })

const isFile = (name: string) => fs.statSync(name, { throwIfNoEntry: false })?.isFile() === true

/** Reads the journal files of a folder. Torn ends are cut off, damaged and foreign files are set aside. */
export const recoverJournal = Effect.fnUntraced(function* (folder: string) {
  if (yield* attempt(folder, () => isFile(folder))) yield* setAside([folder], "it is not a folder")
  yield* attempt(folder, () => fs.mkdirSync(folder, { recursive: true, mode: 0o700 }))
  const files = new NumberedFiles(folder, "journal")
  const numbers = yield* attempt(folder, () => files.list())
  const recovery = new Recovery()
  for (const number of numbers) {
    const file = files.pathOf(number)
    const fault = recovery.read(yield* attempt(file, () => fs.readFileSync(file)))
    if (fault !== undefined) yield* report(file, fault)
  }
  const { jobs, lastSeq } = recovery
  return { jobs, lastSeq, oldest: numbers[0] ?? 1, last: numbers.at(-1) ?? 0 }
})
