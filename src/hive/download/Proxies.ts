import * as NodeHttpClient from "@effect/platform-node/NodeHttpClient"
import { EnvHttpProxyAgent, type Agent } from "@effect/platform-node/Undici"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import { variable } from "../../settings/environment.ts"
import { isLoopback } from "../../system/loopback.ts"

/** The proxies of the environment, and the hosts that bypass them. */
export interface Proxies {
  readonly http: string
  readonly https: string
  readonly except: string
}

// As in curl, the lower-case name takes precedence.
const either = Effect.fnUntraced(function* (name: string) {
  const lower = yield* variable(name.toLowerCase())
  const upper = yield* variable(name)
  return Option.getOrElse(
    Option.orElse(lower, () => upper),
    () => ""
  )
})

const isUsable = (url: string) => /^https?:$/.test(URL.parse(url)?.protocol ?? "")

const usable = Effect.fnUntraced(function* (name: string) {
  const value = yield* either(name)
  if (value === "") return ""
  // As in curl, a proxy without a scheme uses http.
  const url = value.includes("://") ? value : `http://${value}`
  if (isUsable(url)) return url
  yield* Effect.logWarning("a proxy is not used: it must be an http or https URL", { variable: name })
  return ""
})

/** Reads `HTTP_PROXY`, `HTTPS_PROXY` and `NO_PROXY`, in either case; undefined without a proxy. */
export const readProxies = Effect.gen(function* () {
  const http = yield* usable("HTTP_PROXY")
  const https = yield* usable("HTTPS_PROXY")
  const except = yield* either("NO_PROXY")
  const proxies: Proxies = { http, https, except: `${except},localhost,.localhost` }
  return http === "" && https === "" ? undefined : proxies
})

/** Whether a host is this machine, which a proxy cannot reach. */
export const isThisMachine = (hostname: string) => isLoopback(hostname) || hostname.endsWith(".localhost")

/** The host of the proxy for a URL's scheme, for messages. It ignores `NO_PROXY`. */
export const proxyHost = (proxies: Proxies | undefined, { protocol }: URL) => {
  const url = protocol === "https:" ? proxies?.https : proxies?.http
  return url === undefined || url === "" ? undefined : new URL(url).host
}

/** An agent that connects through the proxies, or directly without them. Closes with the scope. */
export const makeDispatcher = (options: Agent.Options, proxies: Proxies | undefined) =>
  proxies === undefined
    ? NodeHttpClient.makeDispatcherOptions(options)
    : Effect.acquireRelease(
        Effect.sync(
          () =>
            new EnvHttpProxyAgent({
              ...options,
              httpProxy: proxies.http,
              httpsProxy: proxies.https,
              noProxy: proxies.except
            })
        ),
        (dispatcher) => Effect.promise(() => dispatcher.destroy())
      )
