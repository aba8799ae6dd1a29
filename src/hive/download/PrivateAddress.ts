// @effect-diagnostics nodeBuiltinImport:off -- Effect has neither name resolution nor address ranges
import * as dns from "node:dns"
import { BlockList, isIP, type LookupFunction } from "node:net"
import * as Effect from "effect/Effect"

// RFC 6890, with multicast and addresses that embed an IPv4 address.
const ranges: ReadonlyArray<readonly [address: string, prefix: number, family: "ipv4" | "ipv6"]> = [
  ["0.0.0.0", 8, "ipv4"],
  ["10.0.0.0", 8, "ipv4"],
  ["100.64.0.0", 10, "ipv4"],
  ["127.0.0.0", 8, "ipv4"],
  ["169.254.0.0", 16, "ipv4"],
  ["172.16.0.0", 12, "ipv4"],
  ["192.0.0.0", 24, "ipv4"],
  ["192.168.0.0", 16, "ipv4"],
  ["198.18.0.0", 15, "ipv4"],
  ["224.0.0.0", 3, "ipv4"],
  ["::", 96, "ipv6"],
  ["::ffff:0:0:0", 96, "ipv6"],
  ["64:ff9b::", 96, "ipv6"],
  ["64:ff9b:1::", 48, "ipv6"],
  ["2001::", 32, "ipv6"],
  ["2002::", 16, "ipv6"],
  ["fc00::", 7, "ipv6"],
  ["fe80::", 10, "ipv6"],
  ["fec0::", 10, "ipv6"],
  ["ff00::", 8, "ipv6"]
]

const blocked = new BlockList()
for (const range of ranges) blocked.addSubnet(...range)

/** Whether a literal address is reachable only from this machine or its network. */
export const isPrivateAddress = (address: string) => {
  const family = isIP(address)
  return family !== 0 && blocked.check(address, family === 4 ? "ipv4" : "ipv6")
}

/**
 * Whether a name resolves to a private address on this machine; false for a name that only a proxy can resolve.
 */
export const leadsToPrivateAddress = (hostname: string) =>
  Effect.callback<boolean>((resume) => {
    dns.lookup(hostname, { all: true }, (error, addresses) =>
      resume(Effect.succeed(error === null && addresses.some(({ address }) => isPrivateAddress(address))))
    )
  })

/** The error code of a name that `guardedLookup` rejects. */
export const privateAddressCode = "RBEE_PRIVATE_ADDRESS"

/**
 * Resolves names for connections, and rejects private addresses. The connection uses the checked address, so that a name
 * cannot resolve to another address after the check.
 */
export const guardedLookup: LookupFunction = (hostname, options, callback) => {
  dns.lookup(hostname, { ...options, all: true }, (error, addresses) => {
    if (error !== null) return callback(error, "")
    const found = addresses.find(({ address }) => isPrivateAddress(address))
    if (found !== undefined) {
      return callback(Object.assign(new Error(found.address), { code: privateAddressCode }), "")
    }
    const [first] = addresses
    if (options.all === true) return callback(null, addresses)
    callback(null, first?.address ?? "", first?.family)
  })
}
