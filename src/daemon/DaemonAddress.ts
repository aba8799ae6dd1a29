import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as HttpServer from "effect/http/HttpServer"
import * as Layer from "effect/Layer"

/** The listening address of a daemon. */
export class DaemonAddress extends Context.Service<
  DaemonAddress,
  {
    /** Its base URL, such as `http://127.0.0.1:8500`, or `http://127.0.0.1:3000/llm` for a daemon that an application mounts. */
    readonly url: string
    /** Its TCP port; absent for a server on a Unix socket. */
    readonly port?: number | undefined
    /** The address of the application's server that the daemon is mounted on, and the path there. */
    readonly host?: string | undefined
    readonly path?: string | undefined
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

  /** The address of a daemon below a path of the HTTP server in this context. */
  static readonly layerAt = (path: string) =>
    Layer.effect(
      DaemonAddress,
      Effect.map(HttpServer.HttpServer, ({ address }) => {
        const url = `${HttpServer.formatAddress(address)}${path}`
        if (!("port" in address)) return DaemonAddress.of({ url, path })
        const host = new URL(url).hostname.replaceAll(/[[\]]/g, "")
        return DaemonAddress.of({ url, port: address.port, host, path })
      })
    )
}

/** The base URL of the daemon in this context. */
export const boundUrl = DaemonAddress.useSync(({ url }) => url)
