import { createHash } from "node:crypto"
import type * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import type { Job } from "./Job.ts"
import type { JobStore, StoredKey } from "./JobStore.ts"
import type { Submission } from "./Submission.ts"

type Idempotency = NonNullable<Submission["idempotency"]>

/** The limits of the table; see the settings of the same names. */
export interface Retention {
  readonly jobsKept: number
  readonly jobsKeptBytes: number
  readonly jobsKeptFor: Duration.Duration
}

/** What tells whether two bodies are the same. */
export const digestOf = (body: string) => createHash("sha256").update(body).digest("base64")

/** The unfinished jobs of a daemon and its retained ended jobs, oldest first. */
export class JobTable {
  readonly #clock: Clock.Clock
  readonly #retention: Retention
  readonly #store: JobStore["Service"]
  readonly #jobs = new Map<string, Job>()
  readonly #byKey = new Map<string, { readonly digest: string; readonly job: Job }>()
  #retainedBytes = 0

  constructor(retention: Retention, clock: Clock.Clock, store: JobStore["Service"]) {
    this.#retention = retention
    this.#clock = clock
    this.#store = store
  }

  get(id: string) {
    return this.#jobs.get(id)
  }

  /** Oldest first. */
  all() {
    return Array.from(this.#jobs.values())
  }

  /** The jobs that have not ended, oldest first. */
  unfinished() {
    return this.all().filter((job) => !job.hasEnded)
  }

  add(job: Job, key: StoredKey | undefined) {
    this.#jobs.set(job.id, job)
    if (key !== undefined) this.#byKey.set(key.key, { digest: key.digest, job })
  }

  /** The job that has the key, and whether it was submitted with the same body. */
  withKey({ body, key }: Idempotency) {
    const earlier = this.#byKey.get(key)
    return earlier === undefined
      ? undefined
      : { job: earlier.job, isSameBody: earlier.digest === digestOf(body) }
  }

  /** Counts the log of a job that has ended, and drops jobs that exceed the limits. */
  retain(job: Job, bytes: number) {
    job.retainedBytes = bytes
    this.#retainedBytes += bytes
    this.dropOld()
  }

  /** Drops ended jobs without followers, oldest first, until the limits hold. */
  dropOld() {
    const { jobsKept, jobsKeptBytes, jobsKeptFor } = this.#retention
    const oldest = this.#clock.currentTimeMillisUnsafe() - Duration.toMillis(jobsKeptFor)
    let surplus = this.#jobs.size - jobsKept
    for (const job of this.#jobs.values()) {
      if (job.endedAt === undefined || job.followers > 0) continue
      if (!this.#store.hasStored(job.id)) continue
      if (surplus <= 0 && this.#retainedBytes <= jobsKeptBytes && job.endedAt >= oldest) break
      this.#drop(job)
      surplus--
    }
  }

  #drop(job: Job) {
    this.#jobs.delete(job.id)
    this.#store.forget(job.id)
    this.#retainedBytes -= job.retainedBytes
    const key = job.idempotencyKey
    if (key !== undefined && this.#byKey.get(key)?.job === job) this.#byKey.delete(key)
  }
}
