import { randomInt } from "node:crypto"
import * as net from "node:net"
import { Effect } from "effect"

// Systems give the ports above to outgoing connections, of which there are many during the tests.
const lowest = 12_000
const highest = 30_000

const canListen = (port: number) =>
  Effect.callback<boolean>((resume) => {
    const server = net.createServer()
    server.once("error", () => resume(Effect.succeed(false)))
    server.listen(port, "127.0.0.1", () => {
      server.close(() => resume(Effect.succeed(true)))
    })
  })

/** A port of loopback that was free a moment ago. */
export const freePort: Effect.Effect<number> = Effect.suspend(() => {
  const port = randomInt(lowest, highest)
  return Effect.flatMap(canListen(port), (isFree) => (isFree ? Effect.succeed(port) : freePort))
})
