import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { Token } from "../../access/Token.ts"
import { DaemonClient } from "../../daemon/DaemonClient.ts"
import type { Heartbeat } from "../../operation/Heartbeat.ts"
import { Settings } from "../../settings/Settings.ts"
import { setBounded } from "./boundedMap.ts"
import { HiveRegistry } from "./HiveRegistry.ts"
import { hiveUrl } from "./hiveUrl.ts"
import { identify, type NotIdentified } from "./identify.ts"

/**
 * Receives the heartbeats of hives. The queen uses the address in a heartbeat only after the daemon there has confirmed
 * the hive id. A heartbeat from elsewhere does not move a configured hive, nor a hive that answers at its known address.
 * Two senders with one id are reported in the hive's record and in the log.
 */
export class HeartbeatReceiver extends Context.Service<
  HeartbeatReceiver,
  {
    /** Accepts or rejects the heartbeat within two seconds. `sender` is the address that it came from. */
    readonly receive: (heartbeat: Heartbeat, sender: string) => Effect.Effect<void>
  }
>()("rbee/queen/registry/HeartbeatReceiver") {
  static readonly layerNoDeps = Layer.effect(
    HeartbeatReceiver,
    Effect.suspend(() => make)
  )
}

interface Sender {
  readonly url: string
  readonly at: number
  /** When the daemon at the address last confirmed the hive id; absent when it never did. */
  readonly verifiedAt?: number
}

// Two requests fit into the time in which a heartbeat is answered.
const requestTimeout = Duration.millis(900)

const withoutSlash = (url: string) => url.replace(/\/$/, "")

const rejection = (hiveId: string, { message, problem }: NotIdentified) =>
  problem === "otherHive"
    ? `${message}; add '${hiveId}' to hives.conf with its own address`
    : `${message}; add '${hiveId}' to hives.conf with an address that this queen can reach`

const make = Effect.gen(function* () {
  const registry = yield* HiveRegistry
  const client = yield* DaemonClient
  const token = yield* Token
  const clock = yield* Clock.Clock
  const { heartbeat } = yield* Settings
  const activeMillis = Duration.toMillis(heartbeat.active)
  const senders = new Map<string, Sender>()

  /** Why the address cannot be used for the hive; undefined when the daemon there confirms the hive id. */
  const checkAddress = Effect.fnUntraced(function* (hiveId: string, url: string) {
    const peer = { url, token: yield* token.forHive(hiveId) }
    return yield* identify(client, hiveId, peer, requestTimeout).pipe(
      Effect.as(undefined),
      Effect.catch((error) => Effect.succeed(rejection(hiveId, error)))
    )
  })

  const warnOfTwin = (hiveId: string, urls: readonly [string, string]) =>
    registry.warn(
      hiveId,
      `Two hives send heartbeats as '${hiveId}', from ${urls[0]} and ${urls[1]}; give one of them another id (hive.id)`
    )

  const receive = Effect.fn("HeartbeatReceiver.receive")(function* (received: Heartbeat, from: string) {
    const { hive_id: id } = received
    const url = withoutSlash(hiveUrl(received.url, from))
    const now = clock.currentTimeMillisUnsafe()
    const isConfigured = yield* registry.isConfigured(id)
    const earlier = senders.get(id)
    const isVerified =
      earlier?.url === url && now - (earlier.verifiedAt ?? Number.NEGATIVE_INFINITY) < activeMillis
    const reason = isVerified ? undefined : yield* checkAddress(id, url)

    if (earlier !== undefined && earlier.url !== url && now - earlier.at < activeMillis) {
      const isEarlierAlive = (yield* checkAddress(id, earlier.url)) === undefined
      if (isEarlierAlive || reason !== undefined) yield* warnOfTwin(id, [earlier.url, url])
      if (isEarlierAlive) return
    }
    const verifiedAt = isVerified ? earlier?.verifiedAt : reason === undefined ? now : undefined
    setBounded(senders, id, { url, at: now, ...(verifiedAt === undefined ? {} : { verifiedAt }) })
    if (isConfigured || reason === undefined) yield* registry.recordHeartbeat({ ...received, url }, from)
    else yield* registry.rejectAddress(id, url, reason)
  })

  return HeartbeatReceiver.of({ receive })
})
