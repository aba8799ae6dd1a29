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
 * Runs commands on other machines by the system's own `ssh` and `scp`: the user's configuration, agent and
 * `known_hosts` apply, and nothing is ever asked. Each call is a connection of its own, which ends with it: with its
 * time-out and its interruption too, though what it ran there may then go on.
 */
export class Ssh extends Context.Service<
  Ssh,
  {
    /**
     * Runs a POSIX shell script with these arguments (`$1`, `$2`…) there and gives the first million characters of
     * its stdout. It has no stdin, and is done when all that holds its stdout and stderr has ended. Fails when its
     * exit code is not 0. `within` is `timeouts.ssh` when absent.
     */
    readonly run: (
      target: SshTarget,
      script: string,
      args?: ReadonlyArray<string>,
      within?: Duration.Input
    ) => Effect.Effect<string, SshError>
    /**
     * Copies local files, given by absolute paths, into a folder that exists there, within `timeouts.copy`. The
     * folder's path is absolute.
     */
    readonly copy: (
      target: SshTarget,
      files: ReadonlyArray<string>,
      folder: string
    ) => Effect.Effect<void, SshError>
    /** Runs an `echo` there, and gives what came and after how many milliseconds. */
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

// What goes before the user's configuration. Of it, all stays in force that says how to get there.
const fixedOptions = [
  "BatchMode=yes",
  "ConnectTimeout=10",
  // Quieter, and what happened would not be said.
  "LogLevel=ERROR",
  // A master of connections would outlive this one, and hold its stderr.
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

// Before OpenSSH 9.0 scp gives the path to a shell there, to which these characters are themselves. Any other path goes
// by the protocol that takes it literally; a scp that does not have it (before 8.7) refuses the option.
const protocolFor = (folder: string) => (/^[A-Za-z0-9._/+@%=,-]*$/.test(folder) ? [] : ["-s"])

interface Running {
  readonly target: SshTarget
  readonly program: "scp" | "ssh"
  readonly args: ReadonlyArray<string>
  readonly input: string
  readonly within: Duration.Input
}

const make = Effect.gen(function* () {
  const spawner = yield* ChildProcessSpawner.ChildProcessSpawner
  const { timeouts } = yield* Settings

  const execute = ({ args, input, program, target, within }: Running) =>
    Effect.gen(function* () {
      const child = yield* spawner.spawn(
        ChildProcess.make(program, args, {
          stdin: Stream.encodeText(Stream.make(input)),
          forceKillAfter: "500 millis"
        })
      )
      const [stdout, stderr, code] = yield* Effect.all(
        [beginning(child.stdout), end(child.stderr), child.exitCode],
        { concurrency: "unbounded" }
      )
      return { stdout, stderr, code }
    }).pipe(
      Effect.scoped,
      Effect.catchTag("PlatformError", (error) =>
        Effect.fail(
          new SshNotInstalled({
            program,
            reason: error.reason._tag === "NotFound" ? "it is not there" : systemProblem(error)
          })
        )
      ),
      Effect.timeoutOrElse({
        duration: within,
        orElse: () =>
          Effect.fail(new SshTimeout({ hive: target.alias, program, millis: Duration.toMillis(within) }))
      })
    )

  const run = Effect.fn("Ssh.run")(function* (
    target: SshTarget,
    script: string,
    args: ReadonlyArray<string> = [],
    within: Duration.Input = timeouts.ssh
  ) {
    yield* checkTarget(target)
    yield* checkArguments(target, args)
    const { code, stderr, stdout } = yield* execute({
      target,
      program: "ssh",
      args: [...optionsFor(target), "--", target.alias, "/bin/sh", "-s"],
      input: shellInput(script, args),
      within
    })
    if (code === 0) return stdout
    // 255 is ssh's own (ssh(1), EXIT STATUS), though a script may end with it too.
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
    const { code, stderr } = yield* execute({
      target,
      program: "scp",
      args: [...protocolFor(folder), ...optionsFor(target), "--", ...files, `${target.alias}:${folder}/`],
      input: "",
      within: timeouts.copy
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

// Both read all that comes: a program whose pipe is full would wait forever.
const beginning = (bytes: Stream.Stream<Uint8Array, PlatformError.PlatformError>) =>
  Stream.runFold(
    Stream.decodeText(bytes),
    () => "",
    (kept, text) => (kept.length >= maxCharacters ? kept : (kept + text).slice(0, maxCharacters))
  )

const end = (bytes: Stream.Stream<Uint8Array, PlatformError.PlatformError>) =>
  Stream.runFold(
    Stream.decodeText(bytes),
    () => "",
    (kept, text) => (kept + text).slice(-maxStderrCharacters)
  )
