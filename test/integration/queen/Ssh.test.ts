import { existsSync, readdirSync, readFileSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { NodeServices } from "@effect/platform-node"
import { assert, it } from "@effect/vitest"
import { Duration, Effect, Fiber, Layer } from "effect"
import { ChildProcess, ChildProcessSpawner } from "effect/process"
import { Ssh } from "../../../src/queen/ssh/Ssh.ts"
import { type SshTarget } from "../../../src/queen/ssh/SshTarget.ts"
import { Settings } from "../../../src/settings/Settings.ts"
import { freePort } from "../../support/ports.ts"
import { temporaryFolder } from "../../support/rbee.ts"
import { describeWithSshd, type Sshd, sshd } from "../../support/sshd.ts"
import { until } from "../../support/until.ts"

/** Ssh that finds its programs where the environment says. */
export const sshWith = (environment: Record<string, string>, timeout = Duration.seconds(20)) =>
  Ssh.layerNoDeps.pipe(
    Layer.provide(
      Layer.effect(
        ChildProcessSpawner.ChildProcessSpawner,
        Effect.map(ChildProcessSpawner.ChildProcessSpawner, (spawner) =>
          ChildProcessSpawner.make((command) =>
            command._tag === "StandardCommand"
              ? spawner.spawn(
                  ChildProcess.make(command.command, command.args, { ...command.options, env: environment })
                )
              : Effect.die("one command at a time")
          )
        )
      )
    ),
    Layer.provide(Settings.layerDefaults({ timeouts: { ssh: timeout } })),
    Layer.provide(NodeServices.layer)
  )

const withSshd = <A, E>(
  test: (ssh: Ssh["Service"], sshd: Sshd) => Effect.Effect<A, E>,
  timeout?: Duration.Duration
) =>
  Effect.gen(function* () {
    const server = yield* sshd()
    const services = yield* Layer.build(sshWith(server.environment, timeout))
    return yield* Effect.provide(
      Effect.flatMap(Ssh, (ssh) => test(ssh, server)),
      services
    )
  }).pipe(Effect.scoped)

const hostile = [
  "plain",
  "with space",
  "it's",
  '"quoted"',
  "$(touch executed)",
  "`touch executed`",
  "; touch executed",
  "-rf",
  "",
  "a\nb",
  "\\",
  "*",
  "né 日本"
]

const print = 'for argument in "$@"; do printf "%s|" "$argument"; done'

const isRunning = (text: string) =>
  readdirSync("/proc")
    .filter((name) => /^\d+$/.test(name))
    .some((pid) => {
      const file = `/proc/${pid}/cmdline`
      const line = existsSync(file)
        ? Effect.runSync(
            Effect.orElseSucceed(
              Effect.try(() => readFileSync(file, "utf8")),
              () => ""
            )
          )
        : ""
      return line.includes(text)
    })

describeWithSshd("Ssh", () => {
  it.live("runs a script with unchanged arguments", () =>
    withSshd((ssh, { folder, target }) =>
      Effect.gen(function* () {
        const output = yield* ssh.run(target, `cd '${folder}'\n${print}`, hostile)
        assert.deepStrictEqual(output.split("|").slice(0, -1), hostile)
        assert.isFalse(existsSync(join(folder, "executed")))
      })
    )
  )

  it.live("reports a successful test", () =>
    withSshd((ssh, { target }) =>
      Effect.gen(function* () {
        const { millis, output } = yield* ssh.test(target)
        assert.match(output, /^rbee reached \S+$/)
        assert.isBelow(millis, 10_000)
      })
    )
  )

  it.live("reports a script's exit code and last lines, and keeps little of a long output", () =>
    withSshd((ssh, { target }) =>
      Effect.gen(function* () {
        const error = yield* Effect.flip(ssh.run(target, "echo first >&2; echo last >&2; exit 7"))
        assert.strictEqual(error._tag, "RemoteScriptFailed")
        assert.include(error.message, "exited with code 7; its last lines: first | last")
        const long = yield* ssh.run(target, "head -c 3000000 /dev/zero | tr '\\0' x")
        assert.strictEqual(long.length, 1_000_000)
      })
    )
  )

  it.live("kills the process of a command that hangs or is interrupted", () =>
    withSshd(
      (ssh, { folder, target }) =>
        Effect.gen(function* () {
          const mark = `${folder}/ssh_config`
          const error = yield* Effect.flip(ssh.run(target, "sleep 8"))
          assert.strictEqual(
            error.message,
            "Machine 'atlas' did not finish within 2 s (timeouts.ssh, timeouts.copy)"
          )
          assert.isFalse(isRunning(mark))
          const fiber = yield* Effect.forkChild(ssh.run(target, "sleep 8"))
          yield* until(
            Effect.sync(() => isRunning(mark)),
            (running) => running
          )
          yield* Fiber.interrupt(fiber)
          assert.isFalse(isRunning(mark))
        }),
      Duration.seconds(2)
    )
  )

  it.live("copies files whose names have spaces and quotes", () =>
    withSshd((ssh, { folder, target }) =>
      Effect.gen(function* () {
        const there = join(folder, 'o\'ther "place" $(x)')
        yield* ssh.run(target, 'mkdir -p "$1"', [there])
        const file = join(folder, "my file's.txt")
        writeFileSync(file, "content")
        yield* ssh.copy(target, [file], there)
        assert.strictEqual(readFileSync(join(there, "my file's.txt"), "utf8"), "content")
        const error = yield* Effect.flip(ssh.copy(target, [file], join(folder, "nowhere")))
        assert.strictEqual(error._tag, "RemoteScriptFailed")
      })
    )
  )

  it.live("explains each kind of connection failure", () =>
    withSshd((ssh, server) =>
      Effect.gen(function* () {
        const { target } = server
        const tagOf = (changes: Partial<SshTarget>) =>
          Effect.map(
            Effect.flip(ssh.test({ ...target, ...changes })),
            ({ _tag, message }) => `${_tag}: ${message}`
          )
        assert.match(yield* tagOf({ port: yield* freePort }), /^SshUnreachable: .* connection refused/)
        assert.match(
          yield* tagOf({ hostName: "no-such-host.invalid" }),
          /^SshUnreachable: .* could not be resolved/
        )
        server.forgetHost()
        assert.match(
          yield* tagOf({}),
          /^SshHostKeyUntrusted: .* is unknown; run 'ssh -p \d+ \S+@127\.0\.0\.1' once/
        )
        server.changeHost()
        assert.match(yield* tagOf({}), /^SshHostKeyUntrusted: .* a different host key than before/)
      })
    )
  )

  it.live("explains how to authorise a key if none is accepted", () =>
    withSshd((ssh, server) =>
      Effect.gen(function* () {
        server.dropKey()
        const error = yield* Effect.flip(ssh.test(server.target))
        assert.strictEqual(error._tag, "SshAuthenticationFailed")
        assert.match(error.message, /ssh-add.*ssh-copy-id/)
        const copy = yield* Effect.flip(
          ssh.copy(server.target, [join(server.folder, "user.pub")], server.folder)
        )
        assert.strictEqual(copy._tag, "SshAuthenticationFailed")
      })
    )
  )

  it.live("never prompts, forwards or leaves a master connection, whatever the user's configuration", () =>
    Effect.gen(function* () {
      const folder = yield* temporaryFolder
      writeFileSync(join(folder, "ssh"), '#!/bin/sh\nprintf "%s\\n" "$@"\n', { mode: 0o755 })
      const services = yield* Layer.build(sshWith({ PATH: folder }))
      const target: SshTarget = { alias: "atlas", hostName: "::1", port: 2222, user: "me" }
      const run = Ssh.use((ssh) => ssh.run(target, "true", ["secret"]))
      const args = (yield* Effect.provide(run, services)).trim().split("\n")
      assert.deepStrictEqual(args.slice(-4), ["--", "atlas", "/bin/sh", "-s"])
      const options = args.slice(0, -4).filter((arg) => arg !== "-o")
      assert.includeMembers(options, ["BatchMode=yes", "HostName=::1", "Port=2222", "User=me"])
      assert.includeMembers(options, ["ControlMaster=no", "ControlPath=none", "ClearAllForwardings=yes"])
      assert.includeMembers(options, [
        "ForwardAgent=no",
        "ForwardX11=no",
        "RequestTTY=no",
        "RemoteCommand=none"
      ])
    }).pipe(Effect.scoped)
  )

  it.live("starts no process for a name that ssh would read as an option", () =>
    Effect.gen(function* () {
      const target: SshTarget = { alias: "atlas", hostName: "127.0.0.1", port: 22, user: "me" }
      const ssh = yield* Layer.build(sshWith({ PATH: "/nowhere" }))
      yield* Effect.gen(function* () {
        const ssh = yield* Ssh
        const changes: ReadonlyArray<Partial<SshTarget>> = [
          { hostName: "-oProxyCommand=touch executed" },
          { hostName: "a;b" },
          { hostName: "a b" },
          { user: "-l" },
          { user: "$(x)" },
          { alias: "../x" },
          { port: 0 }
        ]
        for (const change of changes) {
          const error = yield* Effect.flip(ssh.run({ ...target, ...change }, "true"))
          assert.strictEqual(error._tag, "InvalidTarget", JSON.stringify(change))
        }
        assert.strictEqual((yield* Effect.flip(ssh.run(target, "true")))._tag, "SshNotInstalled")
      }).pipe(Effect.provide(ssh))
    }).pipe(Effect.scoped)
  )
})
