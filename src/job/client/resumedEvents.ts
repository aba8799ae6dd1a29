import * as Arr from "effect/Array"
import * as Cause from "effect/Cause"
import * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import type * as Pull from "effect/Pull"
import * as Random from "effect/Random"
import * as Result from "effect/Result"
import * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import { scopedPull } from "../../http/fromScopedPull.ts"
import { Settings } from "../../settings/Settings.ts"
import type { JobEvent } from "../log/JobEvent.ts"
import { type PeerError, PeerTimeout, PeerUnreachable } from "./clientErrors.ts"
import { type EventsOptions, JobsClient, type Peer, type StartedJob } from "./JobsClient.ts"

type Events = Arr.NonEmptyReadonlyArray<JobEvent>

/** A job whose events are read, and who wants to know of its connection. */
export interface ResumeOptions<E> extends Pick<EventsOptions, "onBytes" | "onEnd"> {
  readonly peer: Peer
  readonly jobId: string
  /** The events that came with the answer to the submission. Absent: they are asked for. */
  readonly events?: StartedJob["events"] | undefined
  /** Whether the daemon is known to have the job; else a first connection that fails is not tried again. */
  readonly isKnown: boolean
  /**
   * Whether the work can be done elsewhere: then a daemon that refuses two connections in a row counts as gone, and
   * five seconds of reconnecting are enough. Work that only this daemon can finish is waited for during the whole of
   * `timeouts.reconnect`.
   */
  readonly canMove: () => boolean
  readonly onEvents?: (() => void) | undefined
  readonly onLost: (error: PeerError) => Effect.Effect<void>
  readonly onResumed: Effect.Effect<void>
  /** How the pull ends: done, or with an error that reconnecting does not mend. */
  readonly end: (error: PeerError | Cause.Done) => Effect.Effect<never, E | Cause.Done>
}

const refusalsOfOneGone = 2
const maxWaitIfMovable = 5_000
const firstPause = 100
const maxPause = 1_000
// An idle stream has a comment each second, so a connection that gives one has lasted.
const lastingMillis = 900

/** Statuses of proxies whose daemon is away for the moment. */
const passing: ReadonlySet<number> = new Set([429, 502, 503, 504])

/** Whether the connection broke, and not the daemon's word. */
export const isBroken = (error: PeerError) =>
  error._tag === "PeerUnreachable" ||
  error._tag === "PeerHungUp" ||
  (error._tag === "PeerTimeout" && error.limit === "silence")

const mayPass = (error: PeerError) =>
  isBroken(error) || (error._tag === "PeerRefused" && passing.has(error.status))

/** Where a stream of events stands. */
class Progress {
  /** The id of the last event that was given. */
  after = 0
  /** Since when no connection has lasted or brought an event; nothing while one is well. */
  brokenSince: number | undefined
  /** Attempts to connect since then. */
  attempts = 0
  /** Streams since then that were closed without an end event. */
  hangUps = 0
  connectedAt = Number.POSITIVE_INFINITY
  hasConnected: boolean
  isPlain = false
  hasResumed = false

  constructor(isKnown: boolean) {
    this.hasConnected = isKnown
  }

  heard(clock: Clock.Clock) {
    this.hasConnected = true
    if (this.brokenSince === undefined) return
    if (clock.currentTimeMillisUnsafe() - this.connectedAt >= lastingMillis) this.isWell()
  }

  isWell() {
    this.brokenSince = undefined
    this.attempts = 0
    this.hangUps = 0
  }

  /** Those of the events that were not given yet. */
  advance(events: Events): ReadonlyArray<JobEvent> {
    const { after } = this
    const { id } = events[events.length - 1] ?? events[0]
    if (id !== undefined && id > after) this.after = id
    if (!this.hasResumed) return events
    // A daemon that does not resume as it should sends some twice.
    const fresh = events.filter(({ id }) => id === undefined || id > after)
    if (fresh.length > 0) this.isWell()
    return fresh
  }
}

/**
 * Makes what reads the events of jobs over connections that may break: a stream that is reset, closed without an end
 * event, or silent for `timeouts.silence` is resumed after the last event that came, for up to `timeouts.reconnect`. No
 * event is lost or given twice. The plain view of an older daemon cannot be resumed. The pull lasts as long as the scope.
 */
export const makeResumedEvents = Effect.gen(function* () {
  const client = yield* JobsClient
  const clock = yield* Clock.Clock
  const { timeouts } = yield* Settings
  const silence = Duration.toMillis(timeouts.silence)
  const reconnect = Duration.toMillis(timeouts.reconnect)

  return Effect.fnUntraced(function* <E>(options: ResumeOptions<E>) {
    const { canMove, end, jobId, onBytes, onEvents, onLost, onResumed, peer } = options
    const scope = yield* Effect.scope
    const progress = new Progress(options.isKnown)
    const window = () => (canMove() ? Math.min(reconnect, maxWaitIfMovable) : reconnect)
    let own = yield* Scope.fork(scope)

    const eventsOptions = () => ({
      after: progress.after,
      onBytes: () => {
        progress.heard(clock)
        onBytes?.()
      },
      ...(options.onEnd === undefined ? {} : { onEnd: options.onEnd }),
      onPlainView: () => {
        progress.isPlain = true
      }
    })

    const connect = (within: number) =>
      client.connect(peer, jobId, eventsOptions()).pipe(
        Effect.timeoutOrElse({
          duration: within,
          orElse: () => Effect.fail(new PeerTimeout({ url: peer.url, limit: "silence", millis: silence }))
        }),
        Effect.mapError((error) =>
          error._tag === "PeerRefused" && error.status === 404
            ? new PeerUnreachable({ url: peer.url, reason: "restarted" })
            : error
        )
      )

    const pause = (left: number) =>
      progress.attempts === 0
        ? Effect.void
        : Effect.flatMap(Random.next, (share) => {
            const usual = Math.min(maxPause, firstPause * 2 ** (progress.attempts - 1))
            return Effect.sleep(Math.min(left, usual * (0.5 + share / 2)))
          })

    /** Connects again, or fails with why it cannot. */
    const reopen = Effect.fnUntraced(function* (cause: PeerError) {
      let error = cause
      let refusals = 0
      while (true) {
        const left = (progress.brokenSince ?? 0) + window() - clock.currentTimeMillisUnsafe()
        if (left <= 0) return yield* error
        yield* pause(left)
        progress.attempts++
        const connected = yield* Effect.result(connect(Math.max(1, Math.min(silence, left))))
        if (Result.isSuccess(connected)) return connected.success
        error = connected.failure
        const isRefused = error._tag === "PeerUnreachable" && error.reason === "refused"
        refusals = isRefused ? refusals + 1 : 0
        const isGone = error._tag === "PeerUnreachable" && error.reason === "restarted"
        if (!mayPass(error) || isGone || (canMove() && refusals >= refusalsOfOneGone)) {
          return yield* error
        }
      }
    })

    const resume = Effect.fnUntraced(function* (error: PeerError) {
      if (error._tag === "PeerHungUp" && ++progress.hangUps > 1) return yield* error
      progress.brokenSince ??= clock.currentTimeMillisUnsafe()
      yield* onLost(error)
      yield* Scope.close(own, Exit.void)
      own = yield* Scope.fork(scope)
      const stream = yield* reopen(error)
      progress.hasResumed = true
      progress.connectedAt = clock.currentTimeMillisUnsafe()
      const pull = yield* Scope.provide(scopedPull(stream), own)
      yield* onResumed
      return pull
    })

    // One step around each pull, because this runs for every token.
    const reading = (pull: Pull.Pull<Events, PeerError>): Pull.Pull<Events, E> =>
      Effect.matchEffect(pull, {
        onSuccess: (batch) => {
          onEvents?.()
          const events = progress.advance(batch)
          return Arr.isReadonlyArrayNonEmpty(events) ? Effect.succeed(events) : Effect.suspend(() => current)
        },
        onFailure: (error) => {
          const isOver = Cause.isDone(error) || progress.isPlain || !progress.hasConnected || !isBroken(error)
          return isOver ? end(error) : again(error)
        }
      })

    const again = (error: PeerError): Pull.Pull<Events, E> =>
      Effect.matchEffect(resume(error), {
        onSuccess: (pull) => {
          current = reading(pull)
          return current
        },
        onFailure: end
      })

    const first =
      options.events === undefined
        ? Stream.unwrap(Effect.suspend(() => client.connect(peer, jobId, eventsOptions())))
        : options.events(eventsOptions())
    let current = reading(yield* Scope.provide(scopedPull(first), own))
    return Effect.suspend(() => current)
  })
})
