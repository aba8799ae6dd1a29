import * as Effect from "effect/Effect"
import * as Semaphore from "effect/Semaphore"
import { FileHash } from "./FileHash.ts"
import { checkRoom, PartFile, unknownSize } from "./PartFile.ts"
import { receiveBody } from "./receiveBody.ts"
import type { RemoteSource } from "./RemoteSource.ts"
import { withRetries } from "./withRetries.ts"

/** Receives the bytes that are present, and the total if the server stated it. */
export type ReportBytes = (bytes: number, total: number | undefined) => Effect.Effect<void>

export interface TransferOptions {
  readonly source: RemoteSource
  /** The folder of the incomplete file. */
  readonly incoming: string
  readonly partSize: number
  readonly connections: number
  readonly retries: number
  readonly report: ReportBytes
}

// While few connections receive this many bytes per half second, more of them would only cost processor time.
const fewConnections = 2
const sufficientBytes = 100_000_000

/** The size and the hash of the received file, once it is on the disk. */
const measured = Effect.fnUntraced(function* (parts: PartFile, hash: FileHash) {
  const [sha256] = yield* Effect.all([hash.digest(parts.received), parts.sync], { concurrency: 2 })
  return { size: parts.received, sha256, data: parts.dataPath }
})

/** Fetches the missing bytes of one part. */
const fetchRange = Effect.fnUntraced(function* (
  source: RemoteSource,
  parts: PartFile,
  part: number,
  report: Effect.Effect<void>
) {
  const from = parts.offsetOf(part) + parts.doneOf(part)
  const to = parts.offsetOf(part) + parts.lengthOf(part) - 1
  if (from > to) return
  const opened = yield* source.openRange(from, to, parts.plan)
  const maxBytes = to - from + 1
  const received = yield* receiveBody(opened, source.url, { parts, part, maxBytes }, report)
  if (received < maxBytes) return yield* source.endedEarly()
}, Effect.scoped)

/** Raises the number of connections up to the configured one while they receive little. */
const widen = (gate: Semaphore.Semaphore, parts: PartFile, connections: number): Effect.Effect<void> =>
  Effect.suspend(() => {
    const sufficient = parts.received + sufficientBytes
    const check = Effect.suspend(() =>
      parts.received < sufficient ? gate.resize(connections) : widen(gate, parts, connections)
    )
    return Effect.delay(check, "500 millis")
  })

/** Fetches a file in parallel ranges, and resumes what an earlier transfer of the same file left. */
export const transferInRanges = Effect.fnUntraced(function* (
  { connections, incoming, partSize, report, retries, source }: TransferOptions,
  identity: { readonly size: number; readonly etag: string | null; readonly sha256: string | undefined }
) {
  const { etag, sha256 = null, size } = identity
  const parts = yield* PartFile.open(incoming, { url: source.url, size, etag, sha256, partSize })
  yield* checkRoom(incoming, size - parts.received)
  const reportReceived = Effect.suspend(() => report(parts.received, size))
  yield* reportReceived
  const hash = yield* FileHash.open(parts.dataPath)
  const gate = yield* Semaphore.make(Math.min(fewConnections, connections))
  const all = Effect.forEach(
    Array.from({ length: parts.parts }, (_, part) => part),
    (part) =>
      gate.withPermit(
        withRetries(fetchRange(source, parts, part, reportReceived), retries, () => parts.doneOf(part))
      ),
    { concurrency: connections, discard: true }
  )
  const hashing = Effect.sync(() => hash.has(parts.prefix)).pipe(Effect.delay("50 millis"), Effect.forever)
  const background = Effect.all([hashing, widen(gate, parts, connections)], { concurrency: 2, discard: true })
  yield* Effect.raceFirst(all, background)
  return yield* measured(parts, hash)
}, Effect.scoped)

/** Fetches a file from a server without ranges: with one response, from the beginning. */
export const transferAtOnce = Effect.fnUntraced(function* (
  { incoming, report, retries, source }: TransferOptions,
  size: number | undefined
) {
  yield* checkRoom(incoming, size ?? 0)
  const attempt = Effect.gen(function* () {
    // Without an etag the bytes of an earlier attempt are not reused.
    const plan = {
      url: source.url,
      size: size ?? unknownSize,
      etag: null,
      sha256: null,
      partSize: unknownSize
    }
    const parts = yield* PartFile.open(incoming, plan)
    const target = { parts, part: 0, maxBytes: plan.size }
    yield* Effect.scoped(
      Effect.flatMap(source.open(), (opened) =>
        receiveBody(
          opened,
          source.url,
          target,
          Effect.suspend(() => report(parts.received, size))
        )
      )
    )
    if (size !== undefined && parts.received < size) return yield* source.endedEarly()
    return yield* measured(parts, yield* FileHash.open(parts.dataPath))
  })
  return yield* withRetries(Effect.scoped(attempt), retries, () => 0)
})
