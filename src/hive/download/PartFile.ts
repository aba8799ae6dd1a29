import { writeSync } from "node:fs"
import * as fs from "node:fs/promises"
import * as path from "node:path"
// @effect-diagnostics nodeBuiltinImport:off -- Effect has neither positional writes nor the free space of a disk
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import { systemCode } from "../../settings/systemProblem.ts"
import { atomicWrite } from "../../system/atomicWrite.ts"
import { ensureFolder } from "../../system/makeFolder.ts"
import { DiskFull, diskError } from "./errors.ts"

/** The identity of a file: a download with the same plan resumes the received data. Sizes in bytes. */
export const PartPlan = Schema.Struct({
  url: Schema.String,
  size: Schema.Finite,
  etag: Schema.NullOr(Schema.String),
  sha256: Schema.NullOr(Schema.String),
  partSize: Schema.Finite
})
export type PartPlan = typeof PartPlan.Type

const PlanJson = Schema.fromJsonString(PartPlan)
const decodePlan = Schema.decodeUnknownOption(PlanJson)
const encodePlan = Schema.encodeSync(PlanJson)

/** The `size` of a file whose size the server does not announce. */
export const unknownSize = Number.MAX_SAFE_INTEGER

const planName = "plan.json"
const counterBytes = 8
// Flushing regularly leaves little to write at the end.
const flushBytes = 64 * 1024 * 1024

const isSame = (plan: PartPlan, stored: PartPlan) =>
  plan.size === stored.size &&
  plan.partSize === stored.partSize &&
  (plan.sha256 !== null && stored.sha256 !== null
    ? plan.sha256 === stored.sha256
    : plan.url === stored.url && plan.etag !== null && plan.etag === stored.etag)

const failure = (folder: string, missing: number) => (cause: unknown) => {
  return systemCode(cause) === "ENOSPC"
    ? new DiskFull({ folder, needed: missing, free: 0 })
    : diskError(folder)(cause)
}

/**
 * A file that is received in parts: `data` has its bytes, `plan.json` its identity, and `done` the received bytes of each part
 * (64 bits, little endian), written after the bytes themselves. A killed process loses at most the batches that it was
 * writing.
 */
export class PartFile {
  readonly plan: PartPlan
  readonly dataPath: string
  readonly #folder: string
  readonly #data: fs.FileHandle
  readonly #counters: fs.FileHandle
  readonly #done: Array<number>
  #received: number
  /** Serializes writes: concurrent writes to one file would each spin on a processor. */
  #writing: Promise<unknown> = Promise.resolve()
  #unflushed = 0
  #flushing: Promise<void> = Promise.resolve()
  /** The error of a failed flush, which the system reports only once. */
  #flushError: unknown

  private constructor(
    folder: string,
    plan: PartPlan,
    data: fs.FileHandle,
    counters: fs.FileHandle,
    done: Array<number>
  ) {
    this.plan = plan
    this.dataPath = path.join(folder, "data")
    this.#folder = folder
    this.#data = data
    this.#counters = counters
    this.#done = done
    this.#received = done.reduce((sum, bytes) => sum + bytes, 0)
  }

  /** Resumes a file of the same plan, else starts an empty one. The file closes with the scope. */
  static readonly open = Effect.fn("PartFile.open")((folder: string, plan: PartPlan) => {
    const toError = failure(folder, plan.size === unknownSize ? 0 : plan.size)
    return Effect.acquireRelease(
      Effect.tryPromise({ try: () => PartFile.#open(folder, plan), catch: toError }),
      (file) => Effect.promise(() => file.#close())
    ).pipe(
      Effect.tap(() => Effect.mapError(atomicWrite(path.join(folder, planName), encodePlan(plan)), toError))
    )
  })

  static async #open(folder: string, plan: PartPlan) {
    const planFile = path.join(folder, planName)
    const stored = decodePlan(await fs.readFile(planFile, "utf8").catch(() => ""))
    const isResumed = Option.isSome(stored) && isSame(plan, stored.value)
    if (!isResumed) await fs.rm(folder, { recursive: true, force: true })
    await ensureFolder(folder)
    const mode = isResumed ? "r+" : "w+"
    const data = await fs.open(path.join(folder, "data"), mode)
    const counters = await fs.open(path.join(folder, "done"), mode)
    const parts = Math.max(1, Math.ceil(plan.size / plan.partSize))
    const done = isResumed
      ? await PartFile.#readCounters(counters, plan, parts)
      : Array.from({ length: parts }, () => 0)
    return new PartFile(folder, plan, data, counters, done)
  }

  static async #readCounters(counters: fs.FileHandle, plan: PartPlan, parts: number) {
    const buffer = Buffer.alloc(parts * counterBytes)
    await counters.read(buffer, 0, buffer.length, 0)
    return Array.from({ length: parts }, (_, part) => {
      const count = Number(buffer.readBigUInt64LE(part * counterBytes))
      const length = Math.min(plan.partSize, plan.size - part * plan.partSize)
      return count <= length ? count : 0
    })
  }

  get parts() {
    return this.#done.length
  }

  /** The received bytes of all parts. */
  get received() {
    return this.#received
  }

  lengthOf(part: number) {
    return Math.min(this.plan.partSize, this.plan.size - part * this.plan.partSize)
  }

  /** The offset of a part in the file. */
  offsetOf(part: number) {
    return part * this.plan.partSize
  }

  doneOf(part: number) {
    return this.#done[part] ?? 0
  }

  /** The number of received bytes before the first gap. */
  get prefix() {
    const gap = this.#done.findIndex((bytes, part) => bytes < this.lengthOf(part))
    return gap === -1 ? this.plan.size : this.offsetOf(gap) + this.doneOf(gap)
  }

  /** Appends bytes to a part. */
  append(part: number, chunks: ReadonlyArray<Uint8Array>) {
    const bytes = chunks.reduce((sum, chunk) => sum + chunk.length, 0)
    // Without a known size, only these bytes are known to be missing.
    const missing = this.plan.size === unknownSize ? bytes : this.plan.size - this.#received
    return Effect.tryPromise({
      try: () => this.#append(part, chunks, bytes),
      catch: failure(this.#folder, missing)
    }).pipe(Effect.uninterruptible)
  }

  async #append(part: number, chunks: ReadonlyArray<Uint8Array>, bytes: number) {
    this.#checkFlushed()
    let at = this.offsetOf(part) + this.doneOf(part)
    let left = chunks
    while (left.length > 0) {
      const write = this.#writing.then(() => this.#data.writev([...left], at))
      this.#writing = write.catch(() => undefined)
      const { bytesWritten } = await write
      at += bytesWritten
      left = withoutFirst(left, bytesWritten)
    }
    const done = this.doneOf(part) + bytes
    const counter = Buffer.alloc(counterBytes)
    counter.writeBigUInt64LE(BigInt(done))
    writeSync(this.#counters.fd, counter, 0, counterBytes, part * counterBytes)
    this.#done[part] = done
    this.#received += bytes
    this.#unflushed += bytes
    if (this.#unflushed >= flushBytes) void this.#flush()
  }

  #flush() {
    this.#unflushed = 0
    this.#flushing = this.#flushing.then(() => this.#data.datasync()).catch((cause) => this.#failFlush(cause))
    return this.#flushing
  }

  /** Makes the next download start from the beginning, because it is unknown which bytes are lost. */
  async #failFlush(cause: unknown) {
    this.#flushError ??= cause
    await fs.rm(path.join(this.#folder, planName), { force: true }).catch(() => undefined)
  }

  /** Flushes the bytes to the disk. */
  get sync() {
    return Effect.tryPromise({
      try: async () => {
        await this.#flush()
        this.#checkFlushed()
      },
      catch: failure(this.#folder, 0)
    })
  }

  #checkFlushed() {
    if (this.#flushError !== undefined) throw this.#flushError
  }

  async #close() {
    await this.#flushing
    await Promise.all([this.#data.close(), this.#counters.close()])
  }
}

const withoutFirst = (chunks: ReadonlyArray<Uint8Array>, bytes: number): ReadonlyArray<Uint8Array> => {
  let skip = bytes
  for (const [index, chunk] of chunks.entries()) {
    if (skip < chunk.length) return [chunk.subarray(skip), ...chunks.slice(index + 1)]
    skip -= chunk.length
  }
  return []
}

/** Fails with DiskFull if the disk has less free space than `missing` bytes. */
export const checkRoom = Effect.fn("PartFile.checkRoom")(function* (folder: string, missing: number) {
  const free = yield* Effect.tryPromise({
    try: async () => {
      await ensureFolder(folder)
      const { bavail, bsize } = await fs.statfs(folder)
      return bavail * bsize
    },
    catch: failure(folder, missing)
  })
  if (free < missing) return yield* new DiskFull({ folder, needed: missing, free })
})
