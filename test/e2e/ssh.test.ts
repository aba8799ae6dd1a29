import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { assert, it } from "@effect/vitest"
import { Effect } from "effect"
import { version } from "../../src/system/Program.ts"
import { freePort } from "../support/ports.ts"
import { rbee, temporaryFolder } from "../support/rbee.ts"
import { describeWithSshd, sshd } from "../support/sshd.ts"

const alias = "atlas"

/** A queen with a home of its own, and another machine that is reached by a real sshd and has a home of its own. */
const fleet = Effect.gen(function* () {
  const home = yield* temporaryFolder
  const there = join(yield* temporaryFolder, "other machine's home")
  mkdirSync(there)
  const machine = yield* sshd({ RBEE_HOME: there })
  const { hostName, port, user } = machine.target
  const hivePort = yield* freePort
  mkdirSync(join(home, "config"))
  writeFileSync(
    join(home, "config", "hives.conf"),
    `Host ${alias}\n  HostName ${hostName}\n  Port ${port}\n  User ${user}\n  HivePort ${hivePort}\n`
  )
  const env = {
    ...machine.environment,
    RBEE_QUEEN_PORT: String(yield* freePort),
    RBEE_HIVE_PORT: String(yield* freePort)
  }
  const run = (...args: ReadonlyArray<string>) => rbee(home, args, { env })
  const answer = (...args: ReadonlyArray<string>) =>
    Effect.map(run(...args, "--json"), ({ code, stderr, stdout }) => {
      assert.strictEqual(code, 0, stderr)
      return JSON.parse(stdout)
    })
  const program = join(there, "data", "bin", "rbee")
  yield* Effect.addFinalizer(() => Effect.andThen(run("hive", "stop", alias), run("stop")))
  return { home, there, run, answer, program, machine }
})

/** Makes of the program that is installed there one of an older version. */
const age = (there: string, older: string) => {
  const programs = join(there, "data", "program")
  const launcher = join(there, "data", "bin", "rbee")
  const current = readdirSync(programs).find((name) => name.startsWith(version)) ?? ""
  renameSync(join(programs, current), join(programs, older))
  writeFileSync(launcher, readFileSync(launcher, "utf8").replaceAll(current, older))
}

const infer = ["infer", "--model", "rbee:tiny", "--hive-id", alias, "--max-tokens", "8", "The sea"] as const

describeWithSshd("a hive on another machine", () => {
  it.live(
    "installs, starts, queries, uses, upgrades, stops and uninstalls a hive over ssh, each twice",
    () =>
      Effect.gen(function* () {
        const { answer, home, program, run, there } = yield* fleet
        assert.deepInclude(yield* answer("hive", "ssh-test", alias), { alias, state: "reachable" })

        const missing = yield* run("hive", "start", alias)
        assert.strictEqual(missing.code, 1)
        assert.include(missing.stderr, `rbee hive install ${alias}`)

        assert.deepInclude(yield* answer("hive", "install", alias), {
          alias,
          state: "installed",
          changed: true
        })
        assert.deepInclude(yield* answer("hive", "install", alias), {
          alias,
          state: "installed",
          changed: false
        })
        const token = readFileSync(join(there, "config", "token"), "utf8").trim()
        assert.strictEqual(readFileSync(join(home, "config", "tokens", alias), "utf8").trim(), token)

        const started = yield* answer("hive", "start", alias)
        assert.deepInclude(started, { alias, state: "running" })
        assert.deepInclude(yield* answer("hive", "start", alias), { alias, state: "running" })
        assert.deepInclude(yield* answer("hive", "status", alias), { alias, online: true })
        assert.deepInclude(yield* answer("hive", "status", alias), { alias, online: true })

        for (let i = 0; i < 2; i++) {
          const { code, stderr, stdout } = yield* run(...infer)
          assert.strictEqual(code, 0, stderr)
          assert.isNotEmpty(stdout.trim())
        }
        const { devices } = yield* answer("hive", "refresh-capabilities", alias)
        assert.strictEqual(devices.at(-1).id, "CPU-0")
        assert.include(readFileSync(join(home, "config", "capabilities.json"), "utf8"), `"${alias}"`)
        const status = yield* answer("status")
        assert.include(
          status.workers.map((worker: { hive: string }) => worker.hive),
          alias
        )

        for (const older of ["0.0.1-000000000000", "0.0.2-000000000000"]) {
          age(there, older)
          assert.include((yield* run("hive", "install", alias)).stdout, "true")
          assert.notInclude(readFileSync(program, "utf8"), older)
          assert.deepInclude(yield* answer("hive", "status", alias), { alias, online: true })
          yield* answer("hive", "stop", alias)
          yield* answer("hive", "start", alias)
        }

        assert.deepInclude(yield* answer("hive", "stop", alias), { alias, state: "stopped" })
        assert.deepInclude(yield* answer("hive", "stop", alias), { alias, state: "stopped" })
        assert.deepInclude(yield* answer("hive", "status", alias), { online: false })

        assert.deepInclude(yield* answer("hive", "uninstall", alias), {
          alias,
          state: "uninstalled",
          changed: true
        })
        assert.deepInclude(yield* answer("hive", "uninstall", alias), {
          alias,
          state: "uninstalled",
          changed: false
        })
        assert.isFalse(existsSync(program))
        assert.isFalse(existsSync(join(home, "config", "tokens", alias)))
        assert.notInclude(readFileSync(join(home, "config", "capabilities.json"), "utf8"), alias)
      }).pipe(Effect.scoped),
    300_000
  )

  it.live("explains connection failures", () =>
    Effect.gen(function* () {
      const { machine, run } = yield* fleet
      machine.dropKey()
      const refused = yield* run("hive", "ssh-test", alias)
      assert.strictEqual(refused.code, 1)
      assert.include(refused.stderr, "rejected all ssh keys for user")
      machine.forgetHost()
      assert.include((yield* run("hive", "install", alias)).stderr, "is unknown")
      const unknown = yield* run("hive", "ssh-test", "castor")
      assert.include(unknown.stderr, "Hive 'castor' is not in hives.conf (it has atlas)")
    }).pipe(Effect.scoped)
  )
})
