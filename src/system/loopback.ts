const loopbackName = String.raw`localhost|127(?:\.\d{1,3}){3}|\[::1\]`
const loopbackHost = new RegExp(`^(?:${loopbackName}|::1)$`, "i")
const loopbackAuthority = new RegExp(`^(?:${loopbackName})(?::\\d{1,5})?$`, "i")

/** Whether a host name or address, an IPv6 address with or without brackets, is reachable from this machine only. */
export const isLoopback = (host: string) => loopbackHost.test(host)

/** Whether a `Host` header, a name with an optional port, names loopback. */
export const isLoopbackAuthority = (authority: string) => loopbackAuthority.test(authority)
