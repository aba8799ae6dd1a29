// @effect-diagnostics nodeBuiltinImport:off -- Effect resolves no names and knows no address ranges
import * as dns from "node:dns"
import { BlockList, isIP, type LookupFunction } from "node:net"
import * as Effect from "effect/Effect"

// RFC 6890, with multicast and the addresses that carry an IPv4 address inside.
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

/** Whether a literal address is one that only this machine or its network can reach. */
export const isPrivateAddress = (address: string) => {
  const family = isIP(address)
  return family !== 0 && blocked.check(address, family === 4 ? "ipv4" : "ipv6")
}

/**
 * Whether a name leads to a private address as far as this machine can tell; not for a name that only a proxy resolves.
 */
export const leadsToPrivateAddress = (hostname: string) =>
  Effect.callback<boolean>((resume) => {
    dns.lookup(hostname, { all: true }, (error, addresses) =>
      resume(Effect.succeed(error === null && addresses.some(({ address }) => isPrivateAddress(address))))
    )
  })

/** The code of the error with which `guardedLookup` refuses a name. */
export const privateAddressCode = "RBEE_PRIVATE_ADDRESS"

/**
 * Resolves names for connections, and refuses those that lead to a private address. The check stands where the
 * connection is made, so that a name cannot resolve to one address for the check and to another afterwards.
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
