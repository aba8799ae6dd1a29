/** A machine reachable by ssh. `alias` may be a host of the user's ssh configuration. */
export interface SshTarget {
  readonly alias: string
  readonly hostName: string
  readonly port: number
  readonly user: string
}
