import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Schedule from "effect/Schedule"
import * as Semaphore from "effect/Semaphore"
import type { ReportProgress } from "../../job/withNarration.ts"
import type { DownloadError } from "./errors.ts"
import { Rate } from "./Rate.ts"

interface ActiveDownload {
  /** The number of requests that wait for the download. */
  followers: number
  received: number
  readonly total: number | undefined
  readonly fiber: Fiber.Fiber<void, DownloadError>
}

/** A download to start, unless one with the same key is running. */
export interface DownloadRequest {
  readonly key: string
  /** The size of all files, if it is known. */
  readonly total: number | undefined
  /** Checked when no download is running: the model may have appeared since it was last looked for. */
  readonly isPresent: Effect.Effect<boolean>
  readonly start: (report: (received: number) => void) => Effect.Effect<void, DownloadError>
}

const progressInterval = "500 millis"

const follow = Effect.fnUntraced(function* (download: ActiveDownload, report: ReportProgress) {
  const clock = yield* Clock.Clock
  const rate = new Rate()
  const reportOnce = Effect.suspend(() => {
    const { received, total } = download
    return report({
      stage: "download",
      current: received,
      ...(total === undefined ? {} : { total }),
      unit: "bytes",
      ...rate.measure(clock.currentTimeMillisUnsafe(), received, total)
    })
  })
  const ticking = Effect.repeat(reportOnce, Schedule.spaced(progressInterval))
  yield* Effect.raceFirst(Fiber.join(download.fiber), Effect.andThen(ticking, Effect.never))
  yield* reportOnce
})

/** The running downloads. Requests with the same key share one, which ends when the last of them leaves. */
export const makeActiveDownloads = Effect.gen(function* () {
  const scope = yield* Effect.scope
  const active = new Map<string, ActiveDownload>()
  // Two downloads of one model would write into each other's files.
  const startLock = yield* Semaphore.make(1)

  const begin = Effect.fnUntraced(function* ({ key, start, total }: DownloadRequest) {
    const state = { received: 0 }
    const fiber = yield* start((received) => {
      state.received = received
    }).pipe(Effect.ensuring(Effect.sync(() => active.delete(key))), Effect.forkIn(scope))
    const download: ActiveDownload = {
      followers: 0,
      total,
      fiber,
      get received() {
        return state.received
      }
    }
    active.set(key, download)
    return download
  })

  const joinOrStart = Effect.fnUntraced(function* (request: DownloadRequest) {
    const running = active.get(request.key)
    if (running === undefined && (yield* request.isPresent)) return undefined
    const download = running ?? (yield* begin(request))
    download.followers++
    return download
  })

  // A request that arrives while the last one leaves starts a new download once this one has ended.
  const leave = (download: ActiveDownload) =>
    startLock.withPermit(
      Effect.suspend(() => {
        download.followers--
        return download.followers === 0 ? Fiber.interrupt(download.fiber) : Effect.void
      })
    )

  return {
    keys: () => [...active.keys()],
    has: (key: string) => active.has(key),
    /** Joins the running download or starts it, and reports its progress until it ends. */
    run: (request: DownloadRequest, report: ReportProgress) =>
      Effect.acquireUseRelease(
        startLock.withPermit(joinOrStart(request)),
        (download) => (download === undefined ? Effect.void : follow(download, report)),
        (download) => (download === undefined ? Effect.void : leave(download))
      )
  }
})
