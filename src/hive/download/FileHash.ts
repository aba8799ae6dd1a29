import { Worker } from "node:worker_threads"
// @effect-diagnostics nodeBuiltinImport:off -- Effect has no threads
import * as Effect from "effect/Effect"
import { systemProblem } from "../../settings/systemProblem.ts"
import { hashThreadFile } from "../../system/Program.ts"
import { FileNotReadable } from "./errors.ts"

/** What the thread is told: how many bytes from the start of the file are there, and whether these are all. */
export interface HashOrder {
  readonly until: number
  readonly isWhole: boolean
}

/** The sha256 of a file while it grows, by a thread of its own: it would hold up everything else in the hive's. */
export class FileHash {
  readonly #file: string
  readonly #thread: Worker
  #until = 0
  readonly #answer: Promise<string>

  private constructor(file: string) {
    this.#file = file
    this.#thread = new Worker(hashThreadFile, { workerData: file })
    const { promise, reject, resolve } = Promise.withResolvers<string>()
    this.#thread.once("message", resolve).once("error", reject)
    // Whoever wants the digest hears of it.
    promise.catch(() => undefined)
    this.#answer = promise
  }

  /** Ends with the scope. */
  static readonly open = (file: string) =>
    Effect.acquireRelease(
      Effect.sync(() => new FileHash(file)),
      (hash) => Effect.promise(() => hash.#thread.terminate())
    )

  /** Tells that so many bytes from the start of the file are there. */
  has(bytes: number) {
    if (bytes > this.#until) this.#tell({ until: bytes, isWhole: false })
  }

  /** The hash, in hexadecimal digits, of a file of so many bytes. */
  digest(bytes: number) {
    return Effect.suspend(() => {
      this.#tell({ until: bytes, isWhole: true })
      return Effect.tryPromise({
        try: () => this.#answer,
        catch: (cause) => new FileNotReadable({ path: this.#file, reason: systemProblem(cause) })
      })
    })
  }

  #tell(order: HashOrder) {
    this.#until = order.until
    // oxlint-disable-next-line unicorn/require-post-message-target-origin -- a thread is no window
    this.#thread.postMessage(order)
  }
}
