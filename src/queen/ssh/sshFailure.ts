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

// What OpenSSH's client says, as its sources have it (ssh.c, sshconnect.c, sshconnect2.c, packet.c), the names of
// errors as strerror gives them; tried with 9.2p1. It speaks no other language than this one.
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

/** What ssh itself could not do, as it says on stderr; undefined when it says nothing of the kind. */
export const sshFailure = (target: SshTarget, stderr: string): SshError | undefined => {
  const { alias: hive, hostName, port, user } = target
  if (hostKey.test(stderr)) {
    return new SshHostKeyUntrusted({ hive, hostName, port, user, changed: changedHostKey.test(stderr) })
  }
  if (authentication.test(stderr)) return new SshAuthenticationFailed({ hive, hostName, port, user })
  const [reason] = unreachable.find(([, said]) => said.test(stderr)) ?? []
  return reason === undefined ? undefined : new SshUnreachable({ hive, hostName, port, reason })
}

// A shell may name in its complaint what it was given.
const looksLikeToken = /^[A-Za-z0-9._~+=-]{16,}$/

/** What failed there, with the end of what it said, without what may be a secret. */
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
