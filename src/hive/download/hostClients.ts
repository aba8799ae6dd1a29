import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import { makePooledClient } from "../../http/PooledClient.ts"
import { Settings } from "../../settings/Settings.ts"
import { PrivateAddress, withoutQuery } from "./errors.ts"
import { guardedLookup, isPrivateAddress, leadsToPrivateAddress } from "./PrivateAddress.ts"
import { isThisMachine, makeDispatcher, type Proxies, readProxies, proxyHost } from "./Proxies.ts"
import type { Access } from "./RemoteModel.ts"

const idleConnections = 16
// Per body while it is written; less would pause the connection repeatedly.
const maxUnreadBytes = 1024 * 1024

/** The HTTP clients for model servers: direct, through a proxy, or guarded against private addresses. */
export const makeHostClients = Effect.gen(function* () {
  const { models, timeouts } = yield* Settings
  const privateHosts = new Set(models.privateHosts.map((host) => host.toLowerCase()))
  const proxies = yield* readProxies
  const connectTimeout = Duration.toMillis(timeouts.connect)
  const pool = (connect: { readonly lookup?: typeof guardedLookup }, proxies: Proxies | undefined) =>
    Effect.flatMap(
      makeDispatcher(
        {
          connections: models.connections + idleConnections,
          connectTimeout,
          connect: { ...connect, timeout: connectTimeout }
        },
        proxies
      ),
      (dispatcher) => makePooledClient(dispatcher, maxUnreadBytes)
    )
  const direct = yield* pool({}, undefined)
  const open = proxies === undefined ? direct : yield* pool({}, proxies)
  const guarded = yield* pool({ lookup: guardedLookup }, proxies)

  return {
    /** The client for a URL. Fails for a private address that the owner has not allowed. */
    clientFor: Effect.fnUntraced(function* (url: URL, access: Access) {
      const isAllowed = privateHosts.has(url.hostname) || privateHosts.has(url.host)
      if (access.mayBePrivate || isAllowed) return isThisMachine(url.hostname) ? direct : open
      // No lookup guards the connection to a literal address.
      const literal = url.hostname.replace(/^\[|\]$/g, "")
      // A proxy resolves names itself, beyond the guarded lookup.
      if (isPrivateAddress(literal) || (proxies !== undefined && (yield* leadsToPrivateAddress(literal)))) {
        return yield* new PrivateAddress({ url: withoutQuery(url.href), host: literal })
      }
      return guarded
    }),
    /** The proxy for a URL as messages show it, if there is one. */
    proxyOf: (url: URL) => (isThisMachine(url.hostname) ? undefined : proxyHost(proxies, url))
  }
})
