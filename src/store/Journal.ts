// @effect-diagnostics nodeBuiltinImport:off globalTimers:off -- one synchronous write per turn of the event loop costs less
// than one asynchronous one, and only the event loop knows its turns
import * as fs from "node:fs"
import {
  blockHead,
  journalMagic,
  type PartKind,
  partHead,
  sealBlock,
  writePartHead
} from "./journalFormat.ts"
import { NumberedFiles, writeFully } from "./numberedFiles.ts"

const usualBuffer = 64 * 1024
// A larger turn is written in several blocks.
const maxBlock = 1024 * 1024

/** What a journal does with its writes, and whom it tells of failures. */
export interface JournalOptions {
  readonly folder: string
  /** `full`: the data is on the disk when a write counts as done; `process`: the system has it. */
  readonly sync: "full" | "process"
  /** Called once when writing begins to fail. */
  readonly onFailure: (error: unknown) => void
}

/**
 * Files to which parts are appended, all parts of one turn of the event loop with one write. While writing fails, parts are
 * dropped; `retry` begins again.
 */
export class Journal {
  readonly #files: NumberedFiles
  readonly #sync: JournalOptions["sync"]
  readonly #onFailure: JournalOptions["onFailure"]
  #buffer = Buffer.allocUnsafeSlow(usualBuffer)
  #used = blockHead
  #waiting: Array<() => void> = []
  #isScheduled = false
  #isSyncing = false
  #fd: number | undefined
  #file: number
  #oldest: number
  /** The size of the current file, in bytes. */
  fileBytes = 0

  /** Continues after the files that the folder has, the newest of which has the number `last`. */
  constructor({ folder, onFailure, sync }: JournalOptions, oldest: number, last: number) {
    this.#files = new NumberedFiles(folder, "journal")
    this.#sync = sync
    this.#onFailure = onFailure
    this.#oldest = oldest
    this.#file = last
    this.retry()
  }

  /** The number of the current file. */
  get file() {
    return this.#file
  }

  get isWorking() {
    return this.#fd !== undefined
  }

  /** Adds a part: the bytes from `start` to `end`. */
  append(kind: PartKind, seq: number, bytes: Uint8Array, start: number, end: number) {
    if (this.#fd === undefined) return
    const length = end - start
    this.#reserve(partHead + length)
    writePartHead(this.#buffer, this.#used, kind, seq, length)
    this.#buffer.set(
      start === 0 && end === bytes.length ? bytes : bytes.subarray(start, end),
      this.#used + partHead
    )
    this.#used += partHead + length
    this.#schedule()
  }

  /** Calls the function when all parts so far are written. */
  afterWrite(done: () => void) {
    this.#waiting.push(done)
    this.#schedule()
  }

  /** Writes the parts now, without waiting for the end of the turn. */
  flush() {
    this.#writeBlock()
  }

  /** Continues in a new file. Returns false when that is not possible now. */
  rotate() {
    if (this.#isSyncing) return false
    this.#writeBlock()
    this.#close()
    return this.retry()
  }

  /** Begins a new file, if none can be written to. Returns whether that worked. */
  retry() {
    if (this.#fd !== undefined) return true
    try {
      this.#fd = this.#files.create(this.#file + 1, journalMagic)
      this.#file++
      this.fileBytes = journalMagic.length
      return true
    } catch (error) {
      this.#onFailure(error)
      return false
    }
  }

  /** Removes all files with smaller numbers. */
  dropBelow(number: number) {
    this.#files.removeBetween(this.#oldest, number)
    this.#oldest = Math.max(this.#oldest, number)
  }

  close() {
    this.#writeBlock()
    this.#close()
    this.#finish(this.#takeWaiting())
  }

  #reserve(bytes: number) {
    if (this.#used + bytes <= this.#buffer.length) return
    if (this.#used > maxBlock) this.#writeBlock()
    if (this.#used + bytes <= this.#buffer.length) return
    const larger = Buffer.allocUnsafeSlow(Math.max(this.#buffer.length * 2, this.#used + bytes))
    larger.set(this.#buffer.subarray(0, this.#used))
    this.#buffer = larger
  }

  #schedule() {
    if (this.#isScheduled || this.#isSyncing) return
    this.#isScheduled = true
    setImmediate(this.#endTurn)
  }

  readonly #endTurn = () => {
    this.#isScheduled = false
    if (this.#isSyncing) return
    this.#writeBlock()
    const waiting = this.#takeWaiting()
    if (this.#sync === "process" || this.#fd === undefined) return this.#finish(waiting)
    this.#isSyncing = true
    fs.fdatasync(this.#fd, (error) => {
      this.#isSyncing = false
      if (error !== null) this.#fail(error)
      this.#finish(waiting)
      if (this.#waiting.length > 0 || this.#used > blockHead) this.#schedule()
    })
  }

  #takeWaiting() {
    const waiting = this.#waiting
    this.#waiting = []
    return waiting
  }

  #finish(waiting: ReadonlyArray<() => void>) {
    for (const done of waiting) done()
  }

  #writeBlock() {
    if (this.#used === blockHead || this.#fd === undefined) return
    sealBlock(this.#buffer, this.#used)
    try {
      writeFully(this.#fd, this.#buffer, this.#used)
      this.fileBytes += this.#used
    } catch (error) {
      this.#fail(error)
    }
    this.#used = blockHead
    if (this.#buffer.length > maxBlock) this.#buffer = Buffer.allocUnsafeSlow(usualBuffer)
  }

  #fail(error: unknown) {
    this.#close()
    this.#used = blockHead
    this.#onFailure(error)
  }

  #close() {
    if (this.#fd === undefined) return
    fs.closeSync(this.#fd)
    this.#fd = undefined
  }
}
