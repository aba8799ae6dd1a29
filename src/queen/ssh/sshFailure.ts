import { redact } from "../../http/Redaction.ts"
import {
  RemoteScriptFailed,
  SshAuthenticationFailed,
  type SshError,
  SshHostKeyUntrusted,
  SshUnreachable
} from "./SshErrors.ts"
import type { SshTarget } from "./SshTarget.ts"

const maxLines = 10
const maxCharacters = 500

// The messages of OpenSSH's client (ssh.c, sshconnect.c, sshconnect2.c, packet.c) with strerror's error names; tested with
// 9.2p1. They are not localized.
const authentication = /^\S+: Permission denied \(|: Too many authentication failures/m
const hostKey = /^Host key verification failed/m
const changedHostKey = /REMOTE HOST IDENTIFICATION HAS CHANGED|^Host key for .* has changed|REVOKED HOST KEY/m
const unreachable = [
  ["unresolved", /^ssh: Could not resolve hostname /m],
  ["refused", /^ssh: connect to host .*: Connection refused/m],
  ["timeout", /^ssh: connect to host .*timed out|^Connection (to .* )?timed out|^Timeout, server /m],
  ["noRoute", /^ssh: connect to host .*: (No route to host|(Network|Host) is (unreachable|down))/m],
  [
    "lost",
    /^kex_exchange_identification: |^(scp: |Read from remote host .*: )?Connection (to .* )?(closed|reset)|^client_loop: send disconnect|^ssh_dispatch_run_fatal: |^lost connection/m
  ]
] as const

/** The failure that ssh's stderr reports; undefined when it reports none of its own. */
export const sshFailure = (target: SshTarget, stderr: string): SshError | undefined => {
  const { alias: hive, hostName, port, user } = target
  if (hostKey.test(stderr)) {
    return new SshHostKeyUntrusted({ hive, hostName, port, user, changed: changedHostKey.test(stderr) })
  }
  if (authentication.test(stderr)) return new SshAuthenticationFailed({ hive, hostName, port, user })
  const [reason] = unreachable.find(([, pattern]) => pattern.test(stderr)) ?? []
  return reason === undefined ? undefined : new SshUnreachable({ hive, hostName, port, reason })
}

// An error message of a shell may contain its arguments.
const looksLikeToken = /^[A-Za-z0-9._~+=-]{16,}$/

/** The failure of a script with the end of its output; likely secrets are redacted. */
export const scriptFailure = (
  { alias: hive }: SshTarget,
  program: "scp" | "ssh",
  code: number,
  stderr: string,
  args: ReadonlyArray<string>
) => {
  const safe = args
    .filter((arg) => looksLikeToken.test(arg))
    .reduce((text, arg) => text.replaceAll(arg, "[redacted]"), stderr)
  const lastLines = redact(safe)
    .split(/\r?\n/)
    .map((line) => line.replace(/\p{C}/gu, " ").trim().slice(0, maxCharacters))
    .filter((line) => line !== "")
    .slice(-maxLines)
  return new RemoteScriptFailed({ hive, program, code, lastLines })
}
