import * as Context from "effect/Context"
import * as Data from "effect/Data"
import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import * as Layer from "effect/Layer"
import * as Path from "effect/Path"
import type * as PlatformError from "effect/PlatformError"
import * as Semaphore from "effect/Semaphore"
import { Settings } from "../../settings/Settings.ts"
import { makeFolder } from "../../system/makeFolder.ts"
import {
  diskError,
  type DownloadError,
  DownloadInterrupted,
  InvalidAnswer,
  shownUrl,
  WrongChecksum,
  WrongSize
} from "./errors.ts"
import { Fetcher, type Opened } from "./Fetcher.ts"
import { FileHash } from "./FileHash.ts"
import { checkRoom, PartFile, type PartPlan, unknownSize } from "./PartFile.ts"
import type { RemoteFile } from "./RemoteModel.ts"

/** A file that is there, whole. Size in bytes. */
export interface Transferred {
  readonly size: number
  readonly sha256: string
}

/** Fetches files: in parts at the same time, each from where it stopped before, and checks what has come. */
export class Transfer extends Context.Service<
  Transfer,
  {
    /**
     * Fetches a file to `target`, where it appears when it is whole and checked. Until then it is kept in the folder
     * `incoming`, from which an interrupted transfer goes on. `report` gets the bytes that are there, and how many there
     * will be if the server told; they grow but for a file that changed at the server and is begun anew.
     */
    readonly fetch: (
      file: RemoteFile,
      target: string,
      incoming: string,
      report: (bytes: number, total: number | undefined) => Effect.Effect<void>
    ) => Effect.Effect<Transferred, DownloadError>
  }
>()("rbee/hive/download/Transfer") {
  /** Parts of the given size, in bytes. */
  static readonly layerWith = (partSize: number) =>
    Layer.effect(
      Transfer,
      Effect.suspend(() => make(partSize))
    )

  static readonly layerNoDeps = this.layerWith(64 * 1024 * 1024)
}

type Report = (bytes: number, total: number | undefined) => Effect.Effect<void>

/** What the server says of a file. */
interface Facts {
  readonly size: number | undefined
  readonly etag: string | null
  readonly hasRanges: boolean
}

/** The file at the server is another one than at the start. */
class RemoteFileChanged extends Data.TaggedError("Changed")<{ readonly url: string }> {}

const batchBytes = 2 * 1024 * 1024
// As long as few connections bring so many bytes in each half of a second, more of them would only cost processor time.
const fewConnections = 2
const plentyBytes = 100_000_000
const firstPause = 200
const maxPause = 10_000
const maxRetryAfter = 60_000
const restarts = 2

const contentRange = /^bytes (\d+)-(\d+)\/(\d+|\*)$/

const wholeNumber = (text: string | undefined) =>
  text !== undefined && /^\d{1,15}$/.test(text) ? Number(text) : undefined

const factsOf = ({ headers, status }: Opened): Facts => {
  const [, , , total] = contentRange.exec(headers["content-range"] ?? "") ?? []
  const size = wholeNumber(status === 206 ? total : headers["content-length"])
  // A weak tag does not say that the bytes are the same.
  const etag = headers["etag"]
  return {
    size,
    etag: etag === undefined || etag.startsWith("W/") ? null : etag,
    hasRanges: status === 206 && size !== undefined
  }
}

const isWorthARetry = (error: RemoteFileChanged | DownloadError) =>
  error._tag === "DownloadInterrupted" ||
  error._tag === "RateLimited" ||
  (error._tag === "ServerFailed" && error.status >= 500)

const pauseAfter = (error: RemoteFileChanged | DownloadError, failures: number) =>
  error._tag === "RateLimited" && error.seconds !== undefined
    ? Math.min(maxRetryAfter, error.seconds * 1000)
    : Math.min(maxPause, firstPause * 2 ** (failures - 1))

/**
 * Frees the memory of what has been written, if nothing else lies in it. Left to itself, V8 would collect the garbage of
 * the whole hive for every 40 MB that come.
 */
const giveBack = ({ buffer, byteLength }: Uint8Array) => {
  if (buffer instanceof ArrayBuffer && buffer.byteLength === byteLength) buffer.transfer(0)
}

const make = Effect.fnUntraced(function* (partSize: number) {
  const fs = yield* FileSystem.FileSystem
  const path = yield* Path.Path
  const fetcher = yield* Fetcher
  const { models } = yield* Settings

  /** Tries again after a pause, as long as something comes between two failures. */
  const withRetries = <A, E extends RemoteFileChanged | DownloadError>(
    attempt: Effect.Effect<A, E>,
    received: () => number
  ) =>
    Effect.suspend(() => {
      let failures = 0
      const next: Effect.Effect<A, E> = Effect.suspend(() => {
        const before = received()
        return Effect.catch(attempt, (error) => {
          failures = received() > before ? 1 : failures + 1
          if (!isWorthARetry(error) || failures > models.retries) return Effect.fail(error)
          return Effect.andThen(Effect.sleep(pauseAfter(error, failures)), next)
        })
      })
      return next
    })

  const open = (file: RemoteFile, headers: Readonly<Record<string, string>>) =>
    // What is compressed on its way has neither the size nor the ranges of the file.
    fetcher.open({
      url: file.url,
      access: file.access,
      headers: { "accept-encoding": "identity", ...headers }
    })

  const openParts = (incoming: string, plan: PartPlan) =>
    Effect.provideService(PartFile.open(incoming, plan), FileSystem.FileSystem, fs)

  const probe = (file: RemoteFile) =>
    withRetries(Effect.scoped(Effect.map(open(file, { range: "bytes=0-0" }), factsOf)), () => 0)

  /** Appends what comes to a part, in batches, also the last one when it is cut off; refuses more than `most` bytes. */
  const receive = (
    opened: Opened,
    url: string,
    parts: PartFile,
    part: number,
    most: number,
    report: Effect.Effect<void>
  ) =>
    Effect.suspend(() => {
      let waiting: Array<Uint8Array> = []
      let bytes = 0
      let came = 0
      const flush = Effect.suspend(() => {
        if (bytes === 0) return Effect.void
        const batch = waiting
        waiting = []
        bytes = 0
        const written = Effect.suspend(() => {
          batch.forEach(giveBack)
          return report
        })
        return Effect.andThen(parts.append(part, batch), written)
      })
      return opened
        .read((chunks): Effect.Effect<void, DownloadError> => {
          for (const chunk of chunks) {
            waiting.push(chunk)
            bytes += chunk.length
            came += chunk.length
          }
          if (came > most) {
            bytes = 0
            return Effect.fail(
              new InvalidAnswer({ url, detail: `sent more than the ${most} bytes of a range` })
            )
          }
          return bytes >= batchBytes ? flush : Effect.void
        })
        .pipe(
          Effect.onExit(() => Effect.ignore(flush)),
          Effect.andThen(flush),
          Effect.andThen(Effect.sync(() => came))
        )
    })

  const fetchRange = Effect.fnUntraced(function* (
    file: RemoteFile,
    parts: PartFile,
    part: number,
    report: Effect.Effect<void>
  ) {
    const { etag, size } = parts.plan
    const from = parts.offsetOf(part) + parts.doneOf(part)
    const to = parts.offsetOf(part) + parts.lengthOf(part) - 1
    if (from > to) return
    const opened = yield* open(file, {
      range: `bytes=${from}-${to}`,
      ...(etag === null ? {} : { "if-range": etag })
    })
    const url = shownUrl(file.url)
    if (opened.status === 200) return yield* new RemoteFileChanged({ url })
    const range = opened.headers["content-range"] ?? ""
    if (range !== `bytes ${from}-${to}/${size}` && range !== `bytes ${from}-${to}/*`) {
      const detail = `answered with the range '${range.slice(0, 60)}' where ${from}-${to} of ${size} was asked for`
      return yield* new InvalidAnswer({ url, detail })
    }
    const wanted = to - from + 1
    const came = yield* receive(opened, url, parts, part, wanted, report)
    if (came < wanted) {
      return yield* new DownloadInterrupted({ url, reason: "the server ended the answer early" })
    }
  }, Effect.scoped)

  /** Without ranges: in one piece, from the start. */
  const fetchWhole = Effect.fnUntraced(function* (
    file: RemoteFile,
    parts: PartFile,
    report: Effect.Effect<void>
  ) {
    const opened = yield* open(file, {})
    yield* receive(opened, shownUrl(file.url), parts, 0, parts.plan.size, report)
    return parts.received
  }, Effect.scoped)

  /** What came: on the disk, and with its hash. */
  const checked = Effect.fnUntraced(function* (parts: PartFile, hash: FileHash) {
    const [sha256] = yield* Effect.all([hash.digest(parts.received), parts.sync], { concurrency: 2 })
    return { size: parts.received, sha256, data: parts.dataPath }
  })

  const inRanges = Effect.fnUntraced(function* (
    file: RemoteFile,
    incoming: string,
    { etag, size }: { readonly etag: string | null; readonly size: number },
    report: Report
  ) {
    const plan = { url: shownUrl(file.url), size, etag, sha256: file.sha256 ?? null, partSize }
    const parts = yield* openParts(incoming, plan)
    yield* checkRoom(incoming, size - parts.received)
    const reportReceived = Effect.suspend(() => report(parts.received, size))
    yield* reportReceived
    const hash = yield* FileHash.open(parts.dataPath)
    const gate = yield* Semaphore.make(Math.min(fewConnections, models.connections))
    const all = Effect.forEach(
      Array.from({ length: parts.parts }, (_, part) => part),
      (part) =>
        gate.withPermit(withRetries(fetchRange(file, parts, part, reportReceived), () => parts.doneOf(part))),
      { concurrency: models.connections, discard: true }
    )
    const hashing = Effect.sync(() => hash.has(parts.prefix)).pipe(Effect.delay("50 millis"), Effect.forever)
    const widening: Effect.Effect<void> = Effect.suspend(() => {
      const enough = parts.received + plentyBytes
      const look = Effect.suspend(() =>
        parts.received < enough ? gate.resize(models.connections) : widening
      )
      return Effect.delay(look, "500 millis")
    })
    yield* Effect.raceFirst(all, Effect.all([hashing, widening], { concurrency: 2, discard: true }))
    return yield* checked(parts, hash)
  }, Effect.scoped)

  const inOnePiece = Effect.fnUntraced(function* (
    file: RemoteFile,
    incoming: string,
    size: number | undefined,
    report: Report
  ) {
    yield* checkRoom(incoming, size ?? 0)
    const attempt = Effect.scoped(
      Effect.gen(function* () {
        const url = shownUrl(file.url)
        // Without an etag nothing of an earlier attempt is taken for this one.
        const plan = { url, size: size ?? unknownSize, etag: null, sha256: null, partSize: unknownSize }
        const parts = yield* openParts(incoming, plan)
        yield* fetchWhole(
          file,
          parts,
          Effect.suspend(() => report(parts.received, size))
        )
        if (size !== undefined && parts.received < size) {
          return yield* new DownloadInterrupted({ url, reason: "the server ended the answer early" })
        }
        return yield* checked(parts, yield* FileHash.open(parts.dataPath))
      })
    )
    return yield* withRetries(attempt, () => 0)
  })

  const onDisk = <A>(effect: Effect.Effect<A, PlatformError.PlatformError>, where: string) =>
    Effect.mapError(effect, diskError(where))

  const fetchOnce = Effect.fnUntraced(function* (
    file: RemoteFile,
    target: string,
    incoming: string,
    report: Report
  ) {
    const facts = yield* probe(file)
    const size = facts.size ?? file.size
    const wrongSize = (got: number) => new WrongSize({ file: file.name, expected: file.size ?? 0, got })
    if (file.size !== undefined && size !== file.size) return yield* wrongSize(size ?? 0)
    const got =
      facts.hasRanges && size !== undefined
        ? yield* inRanges(file, incoming, { etag: facts.etag, size }, report)
        : yield* inOnePiece(file, incoming, size, report)

    const discard = Effect.ignore(fs.remove(incoming, { recursive: true, force: true }))
    if (size !== undefined && got.size !== size) {
      yield* discard
      return yield* wrongSize(got.size)
    }
    if (file.sha256 !== undefined && file.sha256 !== got.sha256) {
      yield* discard
      return yield* new WrongChecksum({ file: file.name, expected: file.sha256, got: got.sha256 })
    }
    yield* onDisk(makeFolder(path.dirname(target)), target)
    yield* onDisk(fs.rename(got.data, target), target)
    yield* discard
    return { size: got.size, sha256: got.sha256 }
  })

  const fetch = (
    file: RemoteFile,
    target: string,
    incoming: string,
    report: Report,
    left: number
  ): Effect.Effect<Transferred, DownloadError> =>
    fetchOnce(file, target, incoming, report).pipe(
      Effect.catchTag("Changed", ({ url }) =>
        left > 0
          ? Effect.andThen(
              Effect.ignore(fs.remove(incoming, { recursive: true, force: true })),
              fetch(file, target, incoming, report, left - 1)
            )
          : Effect.fail(new InvalidAnswer({ url, detail: "changes again and again" }))
      )
    )

  return Transfer.of({
    fetch: Effect.fn("Transfer.fetch")((file, target, incoming, report) =>
      fetch(file, target, incoming, report, restarts)
    )
  })
})
