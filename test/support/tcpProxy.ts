import * as net from "node:net"
import { Effect } from "effect"

/** A TCP proxy whose connections a test breaks. */
export interface TcpProxy {
  readonly url: string
  /** How many connections it has taken. */
  readonly taken: () => number
  /** How many of them are open. */
  readonly open: () => number
  /** Resets all open connections, on both sides. */
  readonly cut: Effect.Effect<void>
  /** Has nothing pass any more on the connections that are open, without closing them. */
  readonly freeze: Effect.Effect<void>
  /** The same for those to come, or no more. */
  readonly freezeNew: (isFrozen: boolean) => Effect.Effect<void>
  /** Resets all and refuses new connections. */
  readonly close: Effect.Effect<void>
  /** Takes connections again, at the same address. */
  readonly reopen: Effect.Effect<void>
  /** Delays each piece by so many milliseconds. */
  readonly delay: (millis: number) => Effect.Effect<void>
}

interface Pair {
  readonly sockets: ReadonlyArray<net.Socket>
  frozen: boolean
}

/** A proxy on loopback before the daemon with the URL; it ends with the scope. */
export const tcpProxy = Effect.fnUntraced(function* (target: string) {
  const { hostname, port: targetPort } = new URL(target)
  const pairs = new Set<Pair>()
  let taken = 0
  let delayMillis = 0
  let newAreFrozen = false

  const server = net.createServer((client) => {
    taken++
    const upstream = net.connect(Number(targetPort), hostname)
    const pair: Pair = { sockets: [client, upstream], frozen: newAreFrozen }
    pairs.add(pair)
    const pass = (from: net.Socket, to: net.Socket) => {
      from.setNoDelay(true)
      from.on("data", (chunk) => {
        const write = () => void (pair.frozen || to.destroyed || to.write(chunk))
        if (delayMillis > 0) setTimeout(write, delayMillis)
        else write()
      })
      from.on("end", () => void (pair.frozen || to.end()))
      from.on("error", () => {})
      from.on("close", () => {
        pairs.delete(pair)
        if (!pair.frozen) to.destroy()
      })
    }
    pass(client, upstream)
    pass(upstream, client)
  })

  const listen = (port: number) =>
    Effect.callback<number>((resume) => {
      server.listen(port, "127.0.0.1", () => {
        const address = server.address()
        resume(Effect.succeed(typeof address === "object" && address !== null ? address.port : 0))
      })
    })
  const cut = Effect.sync(() => {
    for (const { sockets } of pairs) for (const socket of sockets) socket.resetAndDestroy()
  })
  const close = Effect.andThen(
    Effect.callback<void>((resume) => {
      server.close(() => resume(Effect.void))
      for (const { sockets } of pairs) for (const socket of sockets) socket.resetAndDestroy()
    }),
    cut
  )
  const port = yield* Effect.acquireRelease(listen(0), () =>
    Effect.suspend(() => (server.listening ? close : cut))
  )

  const proxy: TcpProxy = {
    url: `http://127.0.0.1:${port}`,
    taken: () => taken,
    open: () => pairs.size,
    cut,
    close,
    reopen: Effect.asVoid(listen(port)),
    freeze: Effect.sync(() => {
      for (const pair of pairs) pair.frozen = true
    }),
    freezeNew: (isFrozen) =>
      Effect.sync(() => {
        newAreFrozen = isFrozen
      }),
    delay: (millis) =>
      Effect.sync(() => {
        delayMillis = millis
      })
  }
  return proxy
})
