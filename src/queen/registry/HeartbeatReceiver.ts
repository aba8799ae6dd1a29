import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Schema from "effect/Schema"
import { Token } from "../../access/Token.ts"
import type { PeerError } from "../../job/client/clientErrors.ts"
import { JobsClient } from "../../job/client/JobsClient.ts"
import type { Heartbeat } from "../../operation/Heartbeat.ts"
import { Settings } from "../../settings/Settings.ts"
import { addBounded, addressOf, HiveRegistry } from "./HiveRegistry.ts"

/**
 * Takes the heartbeats that hives send. An address that a heartbeat names is used only while the daemon there says that
 * it is that hive (`GET /v1/heartbeat`); a hive whose address is configured, or that answers at the address it has, is
 * not moved by a heartbeat from elsewhere. Two senders with one id are reported in the hive's record and in the log.
 */
export class HeartbeatReceiver extends Context.Service<
  HeartbeatReceiver,
  {
    /** Returns when the heartbeat was taken or refused, within two seconds. `sender` is the address it came from. */
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
  /** When the daemon at the address last named this hive's id; absent when it never did. */
  readonly verifiedAt?: number
}

const requestTimeout = Duration.millis(900)

const Identity = Schema.Struct({ hive_id: Schema.String })

const withoutSlash = (url: string) => url.replace(/\/$/, "")

const whyUnusable = (id: string, url: string, error: PeerError | "timeout") => {
  const advice = `add '${id}' to hives.conf with an address that this queen can reach`
  if (error !== "timeout" && error._tag === "PeerRefused" && error.status === 404) {
    return `The daemon at ${url} does not report its hive id; ${advice}`
  }
  const reason = error === "timeout" ? "no answer in time" : error.message
  return `No hive confirms the id '${id}' at ${url} (${reason}); ${advice}`
}

const make = Effect.gen(function* () {
  const registry = yield* HiveRegistry
  const client = yield* JobsClient
  const token = yield* Token
  const clock = yield* Clock.Clock
  const { heartbeat } = yield* Settings
  const freshFor = Duration.toMillis(heartbeat.active)
  const senders = new Map<string, Sender>()

  /** Why the daemon at an address cannot be used as the hive; absent when it says that it is the hive. */
  const refusalOf = Effect.fnUntraced(function* (id: string, url: string) {
    return yield* client.get({ url, token: yield* token.forHive(id) }, "/v1/heartbeat", Identity).pipe(
      Effect.map(({ hive_id }) =>
        hive_id === id
          ? undefined
          : `The daemon at ${url} is hive '${hive_id}', not '${id}'; add '${id}' to hives.conf with its own address`
      ),
      Effect.timeoutOrElse({
        duration: requestTimeout,
        orElse: () => Effect.succeed(whyUnusable(id, url, "timeout"))
      }),
      Effect.catch((error) => Effect.succeed(whyUnusable(id, url, error)))
    )
  })

  const reportTwin = (id: string, urls: readonly [string, string]) =>
    registry.warn(
      id,
      `Two hives send heartbeats as '${id}', from ${urls[0]} and ${urls[1]}; give one of them another id (hive.id)`
    )

  const receive = Effect.fn("HeartbeatReceiver.receive")(function* (beat: Heartbeat, from: string) {
    const { hive_id: id } = beat
    const url = withoutSlash(addressOf(beat.url, from))
    const now = clock.currentTimeMillisUnsafe()
    const isConfigured = yield* registry.isConfigured(id)
    const earlier = senders.get(id)
    const isVerified =
      earlier?.url === url && now - (earlier.verifiedAt ?? Number.NEGATIVE_INFINITY) < freshFor
    const refusal = isVerified ? undefined : yield* refusalOf(id, url)
    const isUsable = isConfigured || refusal === undefined

    if (earlier !== undefined && earlier.url !== url && now - earlier.at < freshFor) {
      const isEarlierAlive = (yield* refusalOf(id, earlier.url)) === undefined
      if (isEarlierAlive || refusal !== undefined) yield* reportTwin(id, [earlier.url, url])
      if (isEarlierAlive) return
    }
    const verifiedAt = isVerified ? earlier?.verifiedAt : refusal === undefined ? now : undefined
    addBounded(senders, id, { url, at: now, ...(verifiedAt === undefined ? {} : { verifiedAt }) })
    if (isUsable) yield* registry.beat({ ...beat, url }, from)
    else yield* registry.refuse(id, url, refusal)
  })

  return HeartbeatReceiver.of({ receive })
})
