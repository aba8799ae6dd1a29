const defaultHivePort = 8081

/** The base URL of a host, which may be an IPv6 address. */
export const baseUrl = (host: string, port: number) =>
  `http://${host.includes(":") ? `[${host}]` : host}:${port}`

/** The base URL of the hive that sent a heartbeat: the heartbeat's `url`, else the sender's address and the default port. */
export const hiveUrl = (url: string | null | undefined, sender: string) =>
  url ?? baseUrl(sender, defaultHivePort)
