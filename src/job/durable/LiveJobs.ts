import { TransientMap } from "../../http/TransientMap.ts"
import type { Journal } from "../../store/Journal.ts"
import { partKinds } from "../../store/journalFormat.ts"
import type { JobFacts } from "../JobFacts.ts"
import type { StoredKey } from "../JobStore.ts"
import { MemoryLog } from "../log/MemoryLog.ts"
import { rowOf } from "./jobRow.ts"

/** A job that only memory and the journal have. */
export interface LiveJob {
  readonly id: string
  readonly seq: number
  readonly log: MemoryLog
  facts: JobFacts | undefined
  key: StoredKey | undefined
  /** Whether the next checkpoint is to store the job. */
  isDirty: boolean
  /** The oldest journal file that has a part of the job. */
  firstFile: number
}

const noBytes = Buffer.alloc(0)

/** The jobs that SQLite and the archive do not have: unfinished ones, and those that ended a moment ago. */
export class LiveJobs {
  readonly #journal: Journal
  readonly #onDirty: () => void
  readonly #jobs = new TransientMap<string, LiveJob>()
  #dirty: Array<LiveJob> = []
  #lastSeq: number

  constructor(journal: Journal, lastSeq: number, onDirty: () => void) {
    this.#journal = journal
    this.#lastSeq = lastSeq
    this.#onDirty = onDirty
  }

  has(id: string) {
    return this.#jobs.has(id)
  }

  get(id: string) {
    return this.#jobs.get(id)
  }

  all() {
    return Array.from(this.#jobs.values())
  }

  /** Adds a job, whose log writes to the journal. `seq` is absent for a new one. */
  add(id: string, limitBytes: number, seq = ++this.#lastSeq) {
    const log = new MemoryLog(limitBytes, {
      write: (bytes, start, end) => this.#journal.append(partKinds.events, seq, bytes, start, end),
      afterWrite: (publish) => this.#journal.afterWrite(publish)
    })
    const job = {
      id,
      seq,
      log,
      facts: undefined,
      key: undefined,
      isDirty: false,
      firstFile: this.#journal.file
    }
    this.#jobs.set(id, job)
    return job
  }

  save(facts: JobFacts, key: StoredKey | undefined) {
    const job = this.#jobs.get(facts.id)
    if (job === undefined) return
    job.facts = facts
    job.key ??= key
    this.#record(job, facts)
    if (facts.endedAt !== undefined) this.#markDirty(job)
  }

  remove(id: string) {
    this.#jobs.delete(id)
  }

  /** The jobs that have ended and were not stored yet. */
  takeDirty(): ReadonlyArray<LiveJob> {
    const dirty = this.#dirty.filter(({ id }) => this.#jobs.has(id))
    this.#dirty = []
    for (const job of dirty) job.isDirty = false
    return dirty
  }

  putBack(jobs: ReadonlyArray<LiveJob>) {
    for (const job of jobs) this.#markDirty(job)
  }

  /** Notes that SQLite and the archive have these jobs. */
  markStored(jobs: ReadonlyArray<LiveJob>) {
    for (const { id, seq } of jobs) {
      this.#jobs.delete(id)
      this.#journal.append(partKinds.stored, seq, noBytes, 0, 0)
    }
  }

  /** Writes jobs to the current journal file, so that older files are not needed for them. */
  rewrite(jobs: ReadonlyArray<LiveJob>) {
    for (const job of jobs) {
      if (job.facts !== undefined) this.#record(job, job.facts)
      for (const piece of job.log.encoded()) {
        this.#journal.append(partKinds.events, job.seq, piece, 0, piece.length)
      }
      job.firstFile = this.#journal.file
    }
  }

  /** The oldest journal file that a job needs. */
  oldestFile() {
    let oldest = this.#journal.file
    for (const { firstFile } of this.#jobs.values()) oldest = Math.min(oldest, firstFile)
    return oldest
  }

  #record({ key, seq }: LiveJob, facts: JobFacts) {
    const record = { row: rowOf(seq, facts), ...(key === undefined ? {} : { key }) }
    const bytes = Buffer.from(JSON.stringify(record))
    this.#journal.append(partKinds.record, seq, bytes, 0, bytes.length)
  }

  #markDirty(job: LiveJob) {
    if (job.isDirty) return
    job.isDirty = true
    this.#dirty.push(job)
    this.#onDirty()
  }
}
