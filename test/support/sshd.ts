import { execFileSync, spawn } from "node:child_process"
import { closeSync, existsSync, mkdirSync, openSync, readFileSync, writeFileSync } from "node:fs"
import { connect } from "node:net"
import { userInfo } from "node:os"
import { join } from "node:path"
import { describe } from "@effect/vitest"
import { Effect, Schedule } from "effect"
import type { SshTarget } from "../../src/queen/ssh/SshTarget.ts"
import { freePort } from "./ports.ts"
import { temporaryFolder } from "./rbee.ts"
import { withFastGzip, wrapProgram } from "./wrapProgram.ts"

const daemon = ["/usr/sbin/sshd", "/usr/local/sbin/sshd", "/usr/bin/sshd"].find((file) => existsSync(file))

/** Describes tests that need a real sshd. Without one they are skipped, which where `CI` is set is a failure. */
export const describeWithSshd = (name: string, tests: () => void) => {
  if (daemon === undefined && process.env["CI"] !== undefined && process.env["CI"] !== "") {
    throw new Error("There is no sshd, and tests may not be skipped here; install openssh-server")
  }
  describe.skipIf(daemon === undefined)(
    `${name}${daemon === undefined ? " (skipped: no sshd here)" : ""}`,
    () => {
      tests()
    }
  )
}

export interface Sshd {
  readonly target: SshTarget
  readonly folder: string
  /** The environment for programs that call `ssh`: it finds wrappers that use the keys of this folder. */
  readonly environment: { readonly PATH: string }
  /** Forgets the host's key. */
  readonly forgetHost: () => void
  /** Has another key in the host's place. */
  readonly changeHost: () => void
  /** Has the client use no key. */
  readonly dropKey: () => void
}

const keyAt = (file: string) =>
  execFileSync("ssh-keygen", ["-q", "-t", "ed25519", "-N", "", "-C", "test", "-f", file])

const answers = (port: number) =>
  Effect.callback<void, Error>((resume) => {
    const socket = connect(port, "127.0.0.1")
    socket.once("data", () => {
      socket.destroy()
      resume(Effect.void)
    })
    socket.once("error", (error) => resume(Effect.fail(error)))
    return Effect.sync(() => socket.destroy())
  })

/**
 * A real sshd on a free port of loopback with throwaway keys, for as long as the scope lasts. What is run through it has
 * the given variables.
 */
export const sshd = Effect.fnUntraced(function* (variables: Readonly<Record<string, string>> = {}) {
  const folder = yield* temporaryFolder
  const port = yield* freePort
  const user = userInfo().username
  keyAt(join(folder, "host"))
  keyAt(join(folder, "user"))
  writeFileSync(join(folder, "authorized"), readFileSync(join(folder, "user.pub")), { mode: 0o600 })
  const set = Object.entries(variables).map(([name, value]) => `"${name}=${value.replaceAll('"', '\\"')}"`)
  writeFileSync(
    join(folder, "sshd_config"),
    [
      `ListenAddress 127.0.0.1:${port}`,
      `HostKey ${join(folder, "host")}`,
      "PidFile none",
      `AuthorizedKeysFile ${join(folder, "authorized")}`,
      "StrictModes no",
      "UsePAM no",
      "PasswordAuthentication no",
      "KbdInteractiveAuthentication no",
      "PermitRootLogin yes",
      "Subsystem sftp internal-sftp",
      "PrintMotd no",
      ...(set.length === 0 ? [] : [`SetEnv ${set.join(" ")}`]),
      ""
    ].join("\n")
  )
  const hostKey = readFileSync(join(folder, "host.pub"), "utf8").split(" ").slice(0, 2).join(" ")
  const knownHosts = join(folder, "known_hosts")
  const know = (key: string) => writeFileSync(knownHosts, `[127.0.0.1]:${port} ${key}\n`)
  know(hostKey)
  const clientConfig = (identity: string) =>
    writeFileSync(
      join(folder, "ssh_config"),
      [
        "Host *",
        `  IdentityFile ${identity}`,
        "  IdentitiesOnly yes",
        "  IdentityAgent none",
        `  UserKnownHostsFile ${knownHosts}`,
        "  GlobalKnownHostsFile /dev/null",
        ""
      ].join("\n"),
      { mode: 0o600 }
    )
  clientConfig(join(folder, "user"))
  // The programs are called without -F, so that the user's own settings apply; here these stand in for them.
  const bin = join(folder, "bin")
  for (const program of ["ssh", "scp"]) wrapProgram(bin, program, `-F '${join(folder, "ssh_config")}'`)

  // Without it sshd does not start as root.
  if (process.getuid?.() === 0) mkdirSync("/run/sshd", { recursive: true, mode: 0o755 })

  yield* Effect.acquireRelease(
    Effect.sync(() => {
      // sshd's sessions outlive it. With -E, each of them would create the log file again while the folder is removed.
      const log = openSync(join(folder, "sshd.log"), "a")
      const child = spawn(daemon ?? "sshd", ["-D", "-e", "-f", join(folder, "sshd_config")], {
        stdio: ["ignore", "ignore", log],
        env: { PATH: process.env["PATH"] ?? "/usr/bin:/bin" }
      })
      closeSync(log)
      return child
    }),
    (child) =>
      Effect.callback<void>((resume) => {
        if (child.exitCode !== null) return resume(Effect.void)
        child.once("exit", () => resume(Effect.void))
        child.kill("SIGTERM")
      })
  )
  yield* answers(port).pipe(
    Effect.timeout("1 second"),
    Effect.retry(Schedule.spaced("50 millis").pipe(Schedule.upTo({ times: 100 })))
  )
  const running: Sshd = {
    target: { alias: "atlas", hostName: "127.0.0.1", port, user },
    folder,
    environment: { PATH: withFastGzip(bin) },
    forgetHost: () => writeFileSync(knownHosts, ""),
    changeHost: () => {
      keyAt(join(folder, "other"))
      know(readFileSync(join(folder, "other.pub"), "utf8").split(" ").slice(0, 2).join(" "))
    },
    dropKey: () => {
      keyAt(join(folder, "stranger"))
      clientConfig(join(folder, "stranger"))
    }
  }
  return running
})
