import * as Arr from "effect/Array"
import * as Cause from "effect/Cause"
import type * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Pull from "effect/Pull"
import * as Random from "effect/Random"
import * as Result from "effect/Result"
import * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import { scopedPull } from "../../http/fromScopedPull.ts"
import type { JobEvent } from "../log/JobEvent.ts"
import { type PeerError, PeerHungUp, PeerTimeout, PeerUnreachable } from "./clientErrors.ts"
import type { EventsOptions } from "./JobStreams.ts"
import type { Peer } from "./Peer.ts"

type Events = Arr.NonEmptyReadonlyArray<JobEvent>
type EventPull = Pull.Pull<Events, PeerError>

/** A job of a daemon, and how to connect to its events. */
export interface FollowTarget {
  readonly peer: Peer
  readonly jobId: string
  readonly connect: (
    peer: Peer,
    jobId: string,
    options: EventsOptions
  ) => Effect.Effect<Stream.Stream<JobEvent, PeerError>, PeerError>
  readonly clock: Clock.Clock
  /** `timeouts.silence` and `timeouts.reconnect`, in milliseconds. */
  readonly silence: number
  readonly reconnect: number
}

/** How to follow a job over connections that may break. */
export interface FollowOptions<E> {
  /** The events in the response to the submission; absent: a connection to the job is made. */
  readonly events?: ((options?: EventsOptions) => Stream.Stream<JobEvent, PeerError>) | undefined
  /** The id of the last known event; 0, the default, requests all events. */
  readonly after?: number | undefined
  /** Whether the daemon is known to have the job; if not, a first connection that fails is not retried. */
  readonly isKnown: boolean
  /**
   * Whether the work can be done elsewhere now: then a daemon that refuses two connections in a row counts as gone, and
   * reconnecting is limited to five seconds. Otherwise it takes up to `timeouts.reconnect`.
   */
  readonly canMove: () => boolean
  /** Called whenever the daemon sent something, even a comment. */
  readonly onBytes?: (() => void) | undefined
  readonly onLost: (error: PeerError) => Effect.Effect<void>
  readonly onResumed: Effect.Effect<void>
  /** Takes the events without the end event, batch by batch. */
  readonly take: (events: ReadonlyArray<JobEvent>) => Effect.Effect<void, E>
}

const maxRefusals = 2
const maxWaitIfMovable = 5_000
const firstPause = 100
const maxPause = 1_000
// An idle stream has a comment each second, so a connection that delivers one has lasted.
const lastingMillis = 900

/** Statuses of proxies whose daemon is temporarily away. */
const temporary: ReadonlySet<number> = new Set([429, 502, 503, 504])

/** Whether the connection broke, in contrast to an error that the daemon reported. */
export const isBroken = (error: PeerError) =>
  error._tag === "PeerUnreachable" ||
  error._tag === "PeerHungUp" ||
  (error._tag === "PeerTimeout" && error.limit === "silence")

const isTemporary = (error: PeerError) =>
  isBroken(error) || (error._tag === "PeerRefused" && temporary.has(error.status))

const isRefused = (error: PeerError) => error._tag === "PeerUnreachable" && error.reason === "refused"

const isRestarted = (error: PeerError) => error._tag === "PeerUnreachable" && error.reason === "restarted"

/** The position in a job's events, and the state of the connection. */
class Position {
  /** The id of the last event that was delivered. */
  after: number
  /** When the connection broke; absent once a new one has lasted or delivered an event. */
  brokenSince: number | undefined
  /** Attempts to connect since then. */
  attempts = 0
  /** Streams since then that the daemon closed without an end event. */
  hangUps = 0
  connectedAt = Number.POSITIVE_INFINITY
  hasConnected: boolean
  isPlain = false
  hasResumed = false
  end: JobEvent | undefined

  constructor(isKnown: boolean, after: number) {
    this.after = after
    this.hasConnected = isKnown
  }

  receivedBytes(clock: Clock.Clock) {
    this.hasConnected = true
    if (this.brokenSince === undefined) return
    if (clock.currentTimeMillisUnsafe() - this.connectedAt >= lastingMillis) this.recovered()
  }

  recovered() {
    this.brokenSince = undefined
    this.attempts = 0
    this.hangUps = 0
  }

  /** Moves past the events; returns those that were not delivered before. */
  advance(events: Events): ReadonlyArray<JobEvent> {
    const { after } = this
    const { id } = events[events.length - 1] ?? events[0]
    if (id !== undefined && id > after) this.after = id
    if (!this.hasResumed) return events
    // A daemon that resumes at the wrong event sends some twice.
    const fresh = events.filter(({ id }) => id === undefined || id > after)
    // An event without an id may come again with each connection, so it does not show that the daemon resumed.
    if (fresh.some(({ id }) => id !== undefined)) this.recovered()
    return fresh
  }

  /** Whether reconnecting cannot help. */
  isFinal(error: PeerError) {
    return this.isPlain || !this.hasConnected || !isBroken(error)
  }
}

const eventsOptions = (
  { clock }: FollowTarget,
  position: Position,
  onBytes: (() => void) | undefined
): EventsOptions => ({
  after: position.after,
  onBytes: () => {
    position.receivedBytes(clock)
    onBytes?.()
  },
  onEnd: (event) => {
    position.end = event
  },
  onPlainView: () => {
    position.isPlain = true
  }
})

const pause = ({ attempts }: Position, left: number) =>
  attempts === 0
    ? Effect.void
    : Effect.flatMap(Random.next, (share) => {
        const usual = Math.min(maxPause, firstPause * 2 ** (attempts - 1))
        return Effect.sleep(Math.min(left, usual * (0.5 + share / 2)))
      })

const connect = ({ connect, jobId, peer, silence }: FollowTarget, options: EventsOptions, within: number) =>
  connect(peer, jobId, options).pipe(
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

/** Connects again after the position, or fails with the reason why that is not possible. */
const reopen = Effect.fnUntraced(function* <E>(
  target: FollowTarget,
  position: Position,
  { canMove, onBytes }: FollowOptions<E>,
  cause: PeerError
) {
  const { clock, reconnect, silence } = target
  const window = () => (canMove() ? Math.min(reconnect, maxWaitIfMovable) : reconnect)
  let error = cause
  let refusals = 0
  while (true) {
    const left = (position.brokenSince ?? 0) + window() - clock.currentTimeMillisUnsafe()
    if (left <= 0) return yield* error
    yield* pause(position, left)
    position.attempts++
    const within = Math.max(1, Math.min(silence, left))
    const options = eventsOptions(target, position, onBytes)
    const connected = yield* Effect.result(connect(target, options, within))
    if (Result.isSuccess(connected)) return connected.success
    // An attempt that the end of the window cut off says nothing new about the hive.
    const isCutOff = connected.failure._tag === "PeerTimeout" && within < silence
    if (!isCutOff) error = connected.failure
    refusals = isRefused(error) ? refusals + 1 : 0
    if (!isTemporary(error) || isRestarted(error)) return yield* error
    if (canMove() && refusals >= maxRefusals) return yield* error
  }
})

/**
 * Follows a job to its end over connections that may break: a stream that is reset, closed without an end event, or
 * silent for `timeouts.silence` is resumed after the last event, for up to `timeouts.reconnect`. No event is lost or
 * delivered twice. The plain view of an older daemon cannot be resumed. Returns the end event.
 */
export const followJob = Effect.fnUntraced(function* <E>(target: FollowTarget, options: FollowOptions<E>) {
  const { onBytes, onLost, onResumed, take } = options
  const { clock, jobId, peer } = target
  const scope = yield* Effect.scope
  const position = new Position(options.isKnown, options.after ?? 0)
  let own = yield* Scope.fork(scope)

  const resume = Effect.fnUntraced(function* (error: PeerError) {
    if (error._tag === "PeerHungUp" && ++position.hangUps > 1) return yield* error
    position.brokenSince ??= clock.currentTimeMillisUnsafe()
    yield* onLost(error)
    yield* Scope.close(own, Exit.void)
    own = yield* Scope.fork(scope)
    const stream = yield* reopen(target, position, options, error)
    position.hasResumed = true
    position.connectedAt = clock.currentTimeMillisUnsafe()
    current = reading(yield* Scope.provide(scopedPull(stream), own))
    yield* onResumed
  })

  // One step around each pull, because this runs for every token.
  const reading = (pull: EventPull): Effect.Effect<void, PeerError | Cause.Done | E> =>
    Effect.matchEffect(pull, {
      onSuccess: (batch): Effect.Effect<void, PeerError | Cause.Done | E> => {
        const events = position.advance(batch)
        return events.length === 0 ? Effect.void : take(events)
      },
      onFailure: (error) =>
        Cause.isDone(error) || position.isFinal(error) ? Effect.fail(error) : resume(error)
    })

  const first =
    options.events === undefined
      ? Stream.unwrap(
          Effect.suspend(() => target.connect(peer, jobId, eventsOptions(target, position, onBytes)))
        )
      : options.events(eventsOptions(target, position, onBytes))
  let current = reading(yield* Scope.provide(scopedPull(first), own))
  const step = Effect.suspend(() => current)
  yield* Pull.catchDone(Effect.forever(step, { disableYield: true }), () => Effect.void)
  return position.end ?? (yield* new PeerHungUp({ url: peer.url }))
}, Effect.scoped)
