import { createHash } from "node:crypto"
import { openSync, readSync } from "node:fs"
import { parentPort, workerData } from "node:worker_threads"
import type { HashOrder } from "./FileHash.ts"

// The thread of `FileHash`: hashes the announced part of a file.
const file = openSync(String(workerData), "r")
const hash = createHash("sha256")
const buffer = new Uint8Array(1024 * 1024)
let position = 0

const advance = (until: number) => {
  while (position < until) {
    const read = readSync(file, buffer, 0, Math.min(buffer.length, until - position), position)
    if (read === 0) return
    hash.update(buffer.subarray(0, read))
    position += read
  }
}

parentPort?.on("message", ({ isComplete, until }: HashOrder) => {
  advance(until)
  // oxlint-disable-next-line unicorn/require-post-message-target-origin -- a thread is not a window
  if (isComplete) parentPort?.postMessage(hash.digest("hex"))
})
