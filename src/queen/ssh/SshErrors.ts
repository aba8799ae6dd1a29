import * as Schema from "effect/Schema"

const place = { hive: Schema.String, hostName: Schema.String, port: Schema.Int }
const login = { ...place, user: Schema.String }

interface Login {
  readonly user: string
  readonly hostName: string
  readonly port: number
}

const loginAs = ({ hostName, port, user }: Login) => `${port === 22 ? "" : `-p ${port} `}${user}@${hostName}`

/** No ssh connection to the machine. */
export class SshUnreachable extends Schema.TaggedError<SshUnreachable>()("SshUnreachable", {
  ...place,
  reason: Schema.Literals(["unresolved", "refused", "timeout", "noRoute", "lost"])
}) {
  override get message() {
    const reasons = {
      unresolved: "the host name could not be resolved; correct HostName in hives.conf",
      refused: "connection refused; check its ssh server and Port in hives.conf",
      timeout: "no answer in time; check that it is running",
      noRoute: "no route to host; check the network",
      lost: "the connection was closed; try again"
    }
    return `Machine '${this.hive}' (${this.hostName}, port ${this.port}) is not reachable by ssh: ${reasons[this.reason]}`
  }
}

/** The machine rejected this machine's ssh keys; ssh may not prompt for a password. */
export class SshAuthenticationFailed extends Schema.TaggedError<SshAuthenticationFailed>()(
  "SshAuthenticationFailed",
  login
) {
  override get message() {
    return `Machine '${this.hive}' rejected all ssh keys for user '${this.user}'; load a key with 'ssh-add', or install it with 'ssh-copy-id ${loginAs(this)}'`
  }
}

/** The machine's host key is not in `known_hosts`, or differs from the one there. */
export class SshHostKeyUntrusted extends Schema.TaggedError<SshHostKeyUntrusted>()("SshHostKeyUntrusted", {
  ...login,
  changed: Schema.Boolean
}) {
  override get message() {
    const name = this.port === 22 ? this.hostName : `[${this.hostName}]:${this.port}`
    return this.changed
      ? `Machine '${this.hive}' presents a different host key than before, so it may be another machine; if the change is expected, run 'ssh-keygen -R ${name}' and then 'ssh ${loginAs(this)}'`
      : `The host key of machine '${this.hive}' is unknown; run 'ssh ${loginAs(this)}' once to check and accept it`
  }
}

/** This machine cannot run `ssh` or `scp`. */
export class SshNotInstalled extends Schema.TaggedError<SshNotInstalled>()("SshNotInstalled", {
  program: Schema.Literals(["ssh", "scp"]),
  reason: Schema.String
}) {
  override get message() {
    return `The program '${this.program}' could not be run on this machine (${this.reason}); install the OpenSSH client`
  }
}

/** The command exceeded its timeout and was stopped on this machine; it may continue on the other machine. */
export class SshTimeout extends Schema.TaggedError<SshTimeout>()("SshTimeout", {
  hive: Schema.String,
  program: Schema.Literals(["ssh", "scp"]),
  millis: Schema.Finite
}) {
  override get message() {
    return `Machine '${this.hive}' did not finish within ${this.millis / 1000} s (timeouts.ssh, timeouts.copy)`
  }
}

/** A remote script, or scp, exited with a code other than 0; `lastLines`: the end of its stderr. */
export class RemoteScriptFailed extends Schema.TaggedError<RemoteScriptFailed>()("RemoteScriptFailed", {
  hive: Schema.String,
  program: Schema.Literals(["ssh", "scp"]),
  code: Schema.Int,
  lastLines: Schema.Array(Schema.String)
}) {
  override get message() {
    const what = this.program === "ssh" ? "A script on" : "Copying to"
    const lines = this.lastLines.length === 0 ? "no output" : `its last lines: ${this.lastLines.join(" | ")}`
    return `${what} machine '${this.hive}' exited with code ${this.code}; ${lines}`
  }
}

/** A value that is unsafe in a command line; nothing was run. */
export class InvalidTarget extends Schema.TaggedError<InvalidTarget>()("InvalidTarget", {
  hive: Schema.String,
  field: Schema.String,
  value: Schema.String,
  expected: Schema.String
}) {
  override get message() {
    return `Invalid ssh target '${this.hive}': ${this.field} '${this.value}' is not ${this.expected}`
  }
}

/** The failures of a command on another machine. */
export const SshError = Schema.Union([
  SshUnreachable,
  SshAuthenticationFailed,
  SshHostKeyUntrusted,
  SshNotInstalled,
  SshTimeout,
  RemoteScriptFailed,
  InvalidTarget
])
export type SshError = typeof SshError.Type
