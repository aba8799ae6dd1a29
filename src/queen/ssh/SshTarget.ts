/** A machine that ssh leads to. `alias` is what the user's ssh configuration may know it by. */
export interface SshTarget {
  readonly alias: string
  readonly hostName: string
  readonly port: number
  readonly user: string
}
