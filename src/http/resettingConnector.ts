import Undici, { type buildConnector } from "@effect/platform-node/Undici"

/** Why a connection is closed whose answer nobody wants any more. */
export const leftAnswer = new Error("the answer was left")

/**
 * Connects as undici does. A connection whose answer is left is reset, not closed: a server that is told to close goes on
 * until its second write fails, one that is reset only until its first.
 */
export const resettingConnector = (timeout: number): buildConnector.connector => {
  const connect = Undici.buildConnector({ timeout })
  return (options, callback) =>
    connect(options, (...given) => {
      const [error, socket] = given
      if (error === null) {
        const destroy = socket.destroy.bind(socket)
        socket.destroy = (reason) => {
          if (reason === leftAnswer && !socket.destroyed) socket.resetAndDestroy()
          return destroy(reason)
        }
      }
      callback(...given)
    })
}
