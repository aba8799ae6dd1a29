// @effect-diagnostics nodeBuiltinImport:off -- Effect has no service for the machine's addresses
import * as Os from "node:os"

const wildcards = new Set(["0.0.0.0", "::", ""])

/** Whether a host name or address is this machine's own, for nobody else. */
export const isLoopback = (host: string) =>
  host === "localhost" || host === "::1" || host === "[::1]" || /^127(?:\.\d{1,3}){3}$/.test(host)

/** This machine's first address that others can reach; loopback when it has none. */
const ownAddress = () =>
  Object.values(Os.networkInterfaces())
    .flatMap((addresses) => addresses ?? [])
    .find(({ family, internal }) => family === "IPv4" && !internal)?.address ?? "127.0.0.1"

/** A daemon's base URL as the other side can reach it: one that listens everywhere names a single address. */
export const reachableUrl = (host: string, port: number, otherIsHere: boolean) => {
  const name = wildcards.has(host) ? (otherIsHere ? "127.0.0.1" : ownAddress()) : host
  return `http://${name.includes(":") ? `[${name}]` : name}:${port}`
}
