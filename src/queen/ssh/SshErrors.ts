import * as Schema from "effect/Schema"

const place = { hive: Schema.String, hostName: Schema.String, port: Schema.Int }
const login = { ...place, user: Schema.String }

interface Login {
  readonly user: string
  readonly hostName: string
  readonly port: number
}

const loginAs = ({ hostName, port, user }: Login) => `${port === 22 ? "" : `-p ${port} `}${user}@${hostName}`

/** Nothing there speaks ssh with this machine. */
export class SshUnreachable extends Schema.TaggedError<SshUnreachable>()("SshUnreachable", {
  ...place,
  reason: Schema.Literals(["unresolved", "refused", "timeout", "noRoute", "lost"])
}) {
  override get message() {
    const reasons = {
      unresolved: `its name could not be resolved; correct HostName in hives.conf`,
      refused: "connection refused; is its ssh server running, and Port in hives.conf right?",
      timeout: "it did not answer in time; is it running?",
      noRoute: "no network leads there; is this machine connected?",
      lost: "the connection was closed; try again"
    }
    return `Machine '${this.hive}' (${this.hostName}, port ${this.port}) is not reachable by ssh: ${reasons[this.reason]}`
  }
}

/** The machine took no key of this one; ssh is not allowed to ask for a password. */
export class SshAuthenticationFailed extends Schema.TaggedError<SshAuthenticationFailed>()(
  "SshAuthenticationFailed",
  login
) {
  override get message() {
    return `Machine '${this.hive}' took no ssh key for user '${this.user}'; load yours with 'ssh-add', or bring it there with 'ssh-copy-id ${loginAs(this)}'`
  }
}

/** The machine's host key is not in `known_hosts`, or is another than the one that is there. */
export class SshHostKeyUntrusted extends Schema.TaggedError<SshHostKeyUntrusted>()("SshHostKeyUntrusted", {
  ...login,
  changed: Schema.Boolean
}) {
  override get message() {
    const name = this.port === 22 ? this.hostName : `[${this.hostName}]:${this.port}`
    return this.changed
      ? `Machine '${this.hive}' shows another host key than before, so another machine may answer in its place; if you know why, run 'ssh-keygen -R ${name}' and then 'ssh ${loginAs(this)}'`
      : `The host key of machine '${this.hive}' is not known yet; run 'ssh ${loginAs(this)}' once to look at it and accept it`
  }
}

/** This machine cannot run its `ssh` or `scp`. */
export class SshNotInstalled extends Schema.TaggedError<SshNotInstalled>()("SshNotInstalled", {
  program: Schema.Literals(["ssh", "scp"]),
  reason: Schema.String
}) {
  override get message() {
    return `The program '${this.program}' could not be run on this machine (${this.reason}); install the OpenSSH client`
  }
}

/** It took longer than it may, and was stopped here. What it ran on the other machine may go on there. */
export class SshTimeout extends Schema.TaggedError<SshTimeout>()("SshTimeout", {
  hive: Schema.String,
  program: Schema.Literals(["ssh", "scp"]),
  millis: Schema.Finite
}) {
  override get message() {
    return `Machine '${this.hive}' did not finish within ${this.millis / 1000} s (timeouts.ssh, timeouts.copy)`
  }
}

/** What ran there, or scp, ended with another code than 0; `lastLines` are the last that it wrote to stderr. */
export class RemoteScriptFailed extends Schema.TaggedError<RemoteScriptFailed>()("RemoteScriptFailed", {
  hive: Schema.String,
  program: Schema.Literals(["ssh", "scp"]),
  code: Schema.Int,
  lastLines: Schema.Array(Schema.String)
}) {
  override get message() {
    const what = this.program === "ssh" ? "A script on" : "Copying to"
    const lines =
      this.lastLines.length === 0 ? "it wrote nothing" : `its last lines: ${this.lastLines.join(" | ")}`
    return `${what} machine '${this.hive}' ended with code ${this.code}; ${lines}`
  }
}

/** A value that must not come near a command line; nothing was run. */
export class InvalidTarget extends Schema.TaggedError<InvalidTarget>()("InvalidTarget", {
  hive: Schema.String,
  field: Schema.String,
  value: Schema.String,
  expected: Schema.String
}) {
  override get message() {
    return `Machine '${this.hive}' was not asked: ${this.field} '${this.value}' is not ${this.expected}`
  }
}

/** Whatever a command on another machine may fail with. */
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
