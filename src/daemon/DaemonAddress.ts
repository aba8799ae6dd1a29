import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as HttpServer from "effect/http/HttpServer"
import * as Layer from "effect/Layer"

/** The listening address of a daemon. */
export class DaemonAddress extends Context.Service<
  DaemonAddress,
  {
    /** Its base URL, such as `http://127.0.0.1:8500`. */
    readonly url: string
    /** Its TCP port; absent for a server on a Unix socket. */
    readonly port?: number | undefined
  }
>()("rbee/daemon/DaemonAddress") {
  /** The address of the HTTP server in this context. */
  static readonly layer = Layer.effect(
    DaemonAddress,
    Effect.map(HttpServer.HttpServer, ({ address }) =>
      DaemonAddress.of({
        url: HttpServer.formatAddress(address),
        port: "port" in address ? address.port : undefined
      })
    )
  )
}

/** The base URL of the daemon in this context. */
export const boundUrl = DaemonAddress.useSync(({ url }) => url)
