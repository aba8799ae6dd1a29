// @effect-diagnostics nodeBuiltinImport:off -- Effect has no service for the machine's addresses
import * as Os from "node:os"

const wildcards = new Set(["0.0.0.0", "::", ""])

/** This machine's first address that other machines can reach; loopback when it has none. */
const ownAddress = () =>
  Object.values(Os.networkInterfaces())
    .flatMap((addresses) => addresses ?? [])
    .find(({ family, internal }) => family === "IPv4" && !internal)?.address ?? "127.0.0.1"

/** The base URL at which the other side reaches a daemon. A daemon that listens on all addresses gets a single one. */
export const reachableUrl = (host: string, port: number, otherIsHere: boolean) => {
  const name = wildcards.has(host) ? (otherIsHere ? "127.0.0.1" : ownAddress()) : host
  return `http://${name.includes(":") ? `[${name}]` : name}:${port}`
}
