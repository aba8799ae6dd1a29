import * as Effect from "effect/Effect"
import { JobNotFound } from "./errors.ts"
import type { Job } from "./Job.ts"
import { type JobFacts, recordOf } from "./JobFacts.ts"
import type { JobStore } from "./JobStore.ts"
import type { JobTable } from "./JobTable.ts"

/** Finds jobs in memory, and ended ones in the store. */
export class JobFinder {
  readonly #table: JobTable
  readonly #store: JobStore["Service"]
  readonly #maxListed: number

  constructor(table: JobTable, store: JobStore["Service"], maxListed: number) {
    this.#table = table
    this.#store = store
    this.#maxListed = maxListed
  }

  /** A job of memory, or the facts of an ended job. */
  readonly find = Effect.fnUntraced(function* (
    this: JobFinder,
    id: string
  ): Effect.fn.Return<Job | JobFacts, JobNotFound> {
    const job = this.#table.get(id) ?? (yield* this.#store.find(id))
    return job ?? (yield* new JobNotFound({ job: id }))
  })

  /** The records of all jobs, newest first. */
  get list() {
    return Effect.map(this.#store.ended(this.#maxListed), (stored) => {
      const inMemory = this.#table.all()
      const older = stored.filter(({ id }) => this.#table.get(id) === undefined)
      return [...inMemory.reverse(), ...older]
        .toSorted((left, right) => right.createdAt - left.createdAt)
        .slice(0, this.#maxListed)
        .map(recordOf)
    })
  }
}
