import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type * as PlatformError from "effect/PlatformError"
import * as ChildProcess from "effect/process/ChildProcess"
import * as ChildProcessSpawner from "effect/process/ChildProcessSpawner"
import * as Stream from "effect/Stream"
import { Settings } from "../../settings/Settings.ts"
import { systemProblem } from "../../settings/systemProblem.ts"
import { checkArguments, checkCopy, checkTarget } from "./checkTarget.ts"
import { shellInput } from "./quote.ts"
import { type SshError, SshNotInstalled, SshTimeout } from "./SshErrors.ts"
import { scriptFailure, sshFailure } from "./sshFailure.ts"
import type { SshTarget } from "./SshTarget.ts"

/**
 * Runs commands on other machines with the system's `ssh` and `scp`. The user's configuration, agent and `known_hosts`
 * apply; ssh never prompts. Each call opens a connection and closes it, also on timeout and interruption, but the remote
 * command may then continue.
 */
export class Ssh extends Context.Service<
  Ssh,
  {
    /**
     * Runs a POSIX shell script with these arguments (`$1`, `$2`…) on the machine and returns the first million characters
     * of its stdout. It has no stdin, and ends when every process holding its stdout or stderr has exited. Fails unless
     * its exit code is 0. `timeout`: `timeouts.ssh` when absent.
     */
    readonly run: (
      target: SshTarget,
      script: string,
      args?: ReadonlyArray<string>,
      timeout?: Duration.Input
    ) => Effect.Effect<string, SshError>
    /**
     * Copies local files into an existing folder of the machine, within `timeouts.copy`. All paths are absolute.
     */
    readonly copy: (
      target: SshTarget,
      files: ReadonlyArray<string>,
      folder: string
    ) => Effect.Effect<void, SshError>
    /** Runs an `echo` on the machine; returns its output and the time in milliseconds. */
    readonly test: (
      target: SshTarget
    ) => Effect.Effect<{ readonly output: string; readonly millis: number }, SshError>
  }
>()("rbee/queen/ssh/Ssh") {
  static readonly layerNoDeps = Layer.effect(
    Ssh,
    Effect.suspend(() => make)
  )
}

const maxCharacters = 1_000_000
const maxStderrCharacters = 16_000

// These override the user's configuration, of which the rest applies, such as jump hosts.
const fixedOptions = [
  "BatchMode=yes",
  "ConnectTimeout=10",
  // A quieter level would hide error messages.
  "LogLevel=ERROR",
  // A connection master would outlive this connection and hold its stderr.
  "ControlMaster=no",
  "ControlPath=none",
  "ClearAllForwardings=yes",
  "ForwardAgent=no",
  "ForwardX11=no",
  "PermitLocalCommand=no",
  "RemoteCommand=none",
  "RequestTTY=no"
]

const optionsFor = ({ hostName, port, user }: SshTarget) =>
  [...fixedOptions, `HostName=${hostName}`, `Port=${port}`, `User=${user}`].flatMap((option) => [
    "-o",
    option
  ])

// Before OpenSSH 9.0, scp passes the path to a remote shell, in which these characters have no special meaning. Other paths
// need the SFTP protocol, which takes them literally; an scp without it (before 8.7) rejects the option.
const protocolFor = (folder: string) => (/^[A-Za-z0-9._/+@%=,-]*$/.test(folder) ? [] : ["-s"])

interface Execution {
  readonly target: SshTarget
  readonly program: "scp" | "ssh"
  readonly args: ReadonlyArray<string>
  readonly input: string
  readonly timeout: Duration.Input
}

/** Runs `ssh` or `scp` to its end, within a time limit. */
const execute = (
  spawner: ChildProcessSpawner.ChildProcessSpawner["Service"],
  { args, input, program, target, timeout }: Execution
) =>
  Effect.gen(function* () {
    const child = yield* spawner.spawn(
      ChildProcess.make(program, args, {
        stdin: Stream.encodeText(Stream.make(input)),
        forceKillAfter: "500 millis"
      })
    )
    const [stdout, stderr, code] = yield* Effect.all(
      [firstCharacters(child.stdout), lastCharacters(child.stderr), child.exitCode],
      { concurrency: "unbounded" }
    )
    return { stdout, stderr, code }
  }).pipe(
    Effect.scoped,
    Effect.catchTag("PlatformError", (error) =>
      Effect.fail(
        new SshNotInstalled({
          program,
          reason: error.reason._tag === "NotFound" ? "not found" : systemProblem(error)
        })
      )
    ),
    Effect.timeoutOrElse({
      duration: timeout,
      orElse: () =>
        Effect.fail(new SshTimeout({ hive: target.alias, program, millis: Duration.toMillis(timeout) }))
    })
  )

const make = Effect.gen(function* () {
  const spawner = yield* ChildProcessSpawner.ChildProcessSpawner
  const { timeouts } = yield* Settings

  const run = Effect.fn("Ssh.run")(function* (
    target: SshTarget,
    script: string,
    args: ReadonlyArray<string> = [],
    timeout: Duration.Input = timeouts.ssh
  ) {
    yield* checkTarget(target)
    yield* checkArguments(target, args)
    const { code, stderr, stdout } = yield* execute(spawner, {
      target,
      program: "ssh",
      args: [...optionsFor(target), "--", target.alias, "/bin/sh", "-s"],
      input: shellInput(script, args),
      timeout
    })
    if (code === 0) return stdout
    // ssh itself exits with 255 (ssh(1), EXIT STATUS), but so may a script.
    const failure = code === 255 ? sshFailure(target, stderr) : undefined
    return yield* failure ?? scriptFailure(target, "ssh", code, stderr, args)
  })

  const copy = Effect.fn("Ssh.copy")(function* (
    target: SshTarget,
    files: ReadonlyArray<string>,
    folder: string
  ) {
    yield* checkTarget(target)
    yield* checkCopy(target, files, folder)
    const { code, stderr } = yield* execute(spawner, {
      target,
      program: "scp",
      args: [...protocolFor(folder), ...optionsFor(target), "--", ...files, `${target.alias}:${folder}/`],
      input: "",
      timeout: timeouts.copy
    })
    if (code === 0) return
    return yield* sshFailure(target, stderr) ?? scriptFailure(target, "scp", code, stderr, [])
  })

  const test = Effect.fn("Ssh.test")(function* (target: SshTarget) {
    const started = yield* Clock.currentTimeMillis
    const output = yield* run(target, 'echo "rbee reached $(uname -n)"')
    return { output: output.trim(), millis: (yield* Clock.currentTimeMillis) - started }
  })

  return Ssh.of({ run, copy, test })
})

// Both read all output: a program whose pipe is full would block forever.
const firstCharacters = (bytes: Stream.Stream<Uint8Array, PlatformError.PlatformError>) =>
  Stream.runFold(
    Stream.decodeText(bytes),
    () => "",
    (kept, text) => (kept.length >= maxCharacters ? kept : (kept + text).slice(0, maxCharacters))
  )

const lastCharacters = (bytes: Stream.Stream<Uint8Array, PlatformError.PlatformError>) =>
  Stream.runFold(
    Stream.decodeText(bytes),
    () => "",
    (kept, text) => (kept + text).slice(-maxStderrCharacters)
  )
