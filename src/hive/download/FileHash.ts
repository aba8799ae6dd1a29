import { Worker } from "node:worker_threads"
// @effect-diagnostics nodeBuiltinImport:off -- Effect has no threads
import * as Effect from "effect/Effect"
import { systemProblem } from "../../settings/systemProblem.ts"
import { hashThreadFile } from "../../system/Program.ts"
import { FileNotReadable } from "./errors.ts"

/** A message to the thread: the number of bytes present from the start of the file, and whether the file is complete. */
export interface HashOrder {
  readonly until: number
  readonly isComplete: boolean
}

/** Computes the SHA-256 of a growing file in its own thread, because hashing would block the hive's. */
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
    // `digest` reports the error; without a caller it must not be an unhandled rejection.
    promise.catch(() => undefined)
    this.#answer = promise
  }

  /** Starts the thread, which ends with the scope. */
  static readonly open = (file: string) =>
    Effect.acquireRelease(
      Effect.sync(() => new FileHash(file)),
      (hash) => Effect.promise(() => hash.#thread.terminate())
    )

  /** Announces that the first `bytes` bytes of the file are present. */
  has(bytes: number) {
    if (bytes > this.#until) this.#send({ until: bytes, isComplete: false })
  }

  /** The hash, in hexadecimal digits, of the complete file of `bytes` bytes. */
  digest(bytes: number) {
    return Effect.suspend(() => {
      this.#send({ until: bytes, isComplete: true })
      return Effect.tryPromise({
        try: () => this.#answer,
        catch: (cause) => new FileNotReadable({ path: this.#file, reason: systemProblem(cause) })
      })
    })
  }

  #send(order: HashOrder) {
    this.#until = order.until
    // oxlint-disable-next-line unicorn/require-post-message-target-origin -- a thread is not a window
    this.#thread.postMessage(order)
  }
}
