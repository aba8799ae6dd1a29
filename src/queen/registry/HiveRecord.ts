import * as DateTime from "effect/DateTime"
import * as Schema from "effect/Schema"
import type { Peer } from "../../job/client/Peer.ts"
import type { Heartbeat } from "../../operation/Heartbeat.ts"
import type { HiveFailure } from "./HiveFailures.ts"
import { baseUrl } from "./hiveUrl.ts"

/** A hive in the answers of `hive_list` and `hive_get`. */
export const HiveRecord = Schema.Struct({
  alias: Schema.String,
  url: Schema.String,
  /**
   * `active`: a sign of life is recent; `stale`: the last one is not, and the queen has not probed the hive yet;
   * `unreachable`: the hive did not answer, `reason` says why; `stopped`: this queen stopped it; `unknown`: no heartbeat
   * has arrived.
   */
  state: Schema.Literals(["active", "stale", "unreachable", "stopped", "unknown"]),
  reason: Schema.optionalKey(Schema.String),
  source: Schema.Literals(["config", "heartbeat", "default"]),
  last_heartbeat: Schema.optionalKey(Schema.String),
  /** The number of its workers; absent unless the hive is active. */
  workers: Schema.optionalKey(Schema.Int),
  /** The alias under which the same daemon is counted; absent when it is counted under this one. */
  same_as: Schema.optionalKey(Schema.String),
  /** A problem for the owner to fix, such as two hives with this id. */
  warning: Schema.optionalKey(Schema.String)
})
export type HiveRecord = typeof HiveRecord.Type

/** A hive with the workers of its last heartbeat. */
export interface KnownHive {
  readonly record: HiveRecord
  readonly peer: Peer
  readonly workers: Heartbeat["workers"]
  /** The alias under which the same daemon is counted; absent when it is counted under this one. */
  readonly sameAs?: string
  /** The time of the last sign of life, in milliseconds; absent when there was none. */
  readonly lastSeen?: number | undefined
}

/** A heartbeat as the registry stores it, with its time of arrival in milliseconds. */
export interface ReceivedHeartbeat {
  readonly at: number
  readonly url: string
  readonly instance: string | undefined
  readonly workers: Heartbeat["workers"]
}

/** The facts about a hive from which its record derives. */
export interface HiveFacts {
  readonly alias: string
  /** The base URL from `hives.conf`. */
  readonly configuredUrl: string | undefined
  /** The base URL of a hive that has no other. */
  readonly defaultUrl: string
  readonly token: Peer["token"]
  readonly heartbeat: ReceivedHeartbeat | undefined
  readonly lastSeen: number | undefined
  readonly failure: HiveFailure | undefined
  readonly warning: string | undefined
}

/** Derives the record of a hive that is active for `activeMillis` after a sign of life. */
export const knownHive = (facts: HiveFacts, now: number, activeMillis: number): KnownHive => {
  const { alias, configuredUrl, defaultUrl, failure, heartbeat, token, warning } = facts
  const lastSeen = Math.max(
    heartbeat?.at ?? Number.NEGATIVE_INFINITY,
    facts.lastSeen ?? Number.NEGATIVE_INFINITY
  )
  const isActive = failure === undefined && now - lastSeen < activeMillis
  // A silent `localhost` is assumed at its default address again.
  const reportedUrl = isActive || alias !== "localhost" ? heartbeat?.url : undefined
  const url = configuredUrl ?? reportedUrl ?? defaultUrl
  const workers = isActive ? (heartbeat?.workers ?? []) : []
  return {
    record: {
      alias,
      url,
      state: isActive ? "active" : (failure?.state ?? (heartbeat === undefined ? "unknown" : "stale")),
      ...(failure === undefined ? {} : { reason: failure.reason }),
      source: configuredUrl !== undefined ? "config" : reportedUrl !== undefined ? "heartbeat" : "default",
      ...(heartbeat === undefined
        ? {}
        : { last_heartbeat: DateTime.formatIso(DateTime.makeUnsafe(heartbeat.at)) }),
      ...(isActive ? { workers: workers.length } : {}),
      ...(warning === undefined ? {} : { warning })
    },
    peer: { url, token },
    workers,
    ...(Number.isFinite(lastSeen) ? { lastSeen } : {})
  }
}

/** The address of a heartbeat that cannot be used, with the reason. */
export interface RejectedAddress {
  readonly url: string
  readonly reason: string
}

/** Derives the record of a hive known only from heartbeats whose address was rejected. */
export const rejectedHive = (
  alias: string,
  { reason, url }: RejectedAddress,
  warning: string | undefined
): KnownHive => ({
  record: {
    alias,
    url,
    state: "unreachable",
    reason,
    source: "heartbeat",
    ...(warning === undefined ? {} : { warning })
  },
  peer: { url },
  workers: []
})

/**
 * Marks hives that are a daemon listed earlier: one daemon may have several aliases of one host, or its own id beside its
 * name in `hives.conf`.
 */
export const markDuplicates = (
  hives: ReadonlyArray<KnownHive>,
  instanceOf: (alias: string) => string | undefined
): ReadonlyArray<KnownHive> => {
  const byInstance = new Map<string, string>()
  const byUrl = new Map<string, string>()
  return hives.map((hive) => {
    const { alias, source, state, url } = hive.record
    const instance = instanceOf(alias)
    const other = byUrl.get(url) ?? (instance === undefined ? undefined : byInstance.get(instance))
    if (other !== undefined) return { ...hive, sameAs: other, record: { ...hive.record, same_as: other } }
    if (source !== "default" || state === "active") byUrl.set(url, alias)
    if (instance !== undefined) byInstance.set(instance, alias)
    return hive
  })
}

/** The addresses of hives by alias: `localhost`, the senders of heartbeats, and `hives.conf`, which wins. */
export const addressesByAlias = (
  senders: Iterable<string>,
  entries: ReadonlyArray<{
    readonly aliases: ReadonlyArray<string>
    readonly hostName: string
    readonly hivePort: number
  }>
): ReadonlyMap<string, string | undefined> => {
  const addresses = new Map<string, string | undefined>([["localhost", undefined]])
  for (const alias of senders) addresses.set(alias, undefined)
  for (const { aliases, hivePort, hostName } of entries) {
    for (const alias of aliases) addresses.set(alias, baseUrl(hostName, hivePort))
  }
  return addresses
}
