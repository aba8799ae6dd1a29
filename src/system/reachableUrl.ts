// @effect-diagnostics nodeBuiltinImport:off -- Effect has no service for the machine's addresses
import * as Os from "node:os"

const wildcards = new Set(["0.0.0.0", "::", ""])

/** The first address of this machine that other machines can reach; loopback when there is none. */
const ownAddress = () =>
  Object.values(Os.networkInterfaces())
    .flatMap((addresses) => addresses ?? [])
    .find(({ family, internal }) => family === "IPv4" && !internal)?.address ?? "127.0.0.1"

/** The base URL at which a client reaches a daemon. For a daemon that listens on all addresses, one address is chosen. */
export const reachableUrl = (host: string, port: number, otherIsHere: boolean) => {
  const name = wildcards.has(host) ? (otherIsHere ? "127.0.0.1" : ownAddress()) : host
  return `http://${name.includes(":") ? `[${name}]` : name}:${port}`
}
