import Undici, { type buildConnector } from "@effect/platform-node/Undici"

/** The reason for closing a connection whose response is no longer needed. */
export const leftAnswer = new Error("the answer was left")

/**
 * Connects as undici does. It resets the connection of an abandoned response instead of closing it: a server notices a
 * reset at its first write, and a close only at its second.
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
