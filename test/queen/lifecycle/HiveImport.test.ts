import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { NodeServices } from "@effect/platform-node"
import { assert, describe, it } from "@effect/vitest"
import { ConfigProvider, Effect, Layer } from "effect"
import { HivesConf } from "../../../src/hives/HivesConf.ts"
import * as HivesConfEdit from "../../../src/hives/HivesConfEdit.ts"
import { HiveImport } from "../../../src/queen/lifecycle/HiveImport.ts"
import { Paths } from "../../../src/settings/Paths.ts"
import { Pids } from "../../../src/system/Pids.ts"
import { temporaryFolder } from "../../support/rbee.ts"

const sshConfig = (folder: string) => `# machines
Include ${folder}/more/*.conf
Host atlas big
  HostName 192.0.2.1
  User=ann
HOST "boreas"
  hostname boreas.example.org
  Port 2222
Host known
  HostName 192.0.2.3
Host *.lan web-? !not
  User nobody
Host odd;name
  HostName 192.0.2.4
Host wrong
  Port abc
Host *
  User everyone
`

const inHome = <A, E>(test: (home: string) => Effect.Effect<A, E, HiveImport | HivesConf>) =>
  Effect.gen(function* () {
    const home = yield* temporaryFolder
    mkdirSync(join(home, "config"))
    const layer = HiveImport.layerNoDeps.pipe(
      Layer.provideMerge(HivesConf.layer),
      Layer.provide(Pids.layer),
      Layer.provide([Paths.layerAt(home), NodeServices.layer])
    )
    return yield* Effect.provide(test(home), layer)
  }).pipe(Effect.scoped)

const silent = () => Effect.void

describe("importing from an ssh configuration", () => {
  it.live("reports the result for each host, keeps existing entries, and changes nothing when repeated", () =>
    inHome((home) =>
      Effect.gen(function* () {
        const file = join(home, "config", "hives.conf")
        const before = "# mine\nHost known\n  HostName 10.0.0.1\n  User me\n  HivePort 1\n"
        writeFileSync(file, before)
        writeFileSync(join(home, "ssh_config"), sshConfig(home))
        mkdirSync(join(home, "more"))
        writeFileSync(join(home, "more", "a.conf"), "Host castor\n  HostName 192.0.2.7\n")
        writeFileSync(join(home, "more", "a.other"), "Host pollux\n")
        const { run } = yield* HiveImport
        const request = { path: join(home, "ssh_config"), defaultHivePort: 9001 }
        const report = yield* run(request, silent)
        assert.deepInclude(report, { imported: 4, existing: 1, skipped: 2 })
        assert.deepStrictEqual(
          report.hosts.filter(({ state }) => state === "skipped"),
          [
            {
              alias: "odd;name",
              state: "skipped",
              reason: "Host: expected letters, digits, '.', '_' and '-', got 'odd;name'"
            },
            {
              alias: "wrong",
              state: "skipped",
              reason: "Port: expected a port from 1 to 65535, got 'abc'"
            }
          ]
        )
        const { hives } = yield* HivesConf
        const entries = yield* hives
        assert.deepStrictEqual(
          entries.map(({ aliases, hivePort, hostName, port, user }) => [
            aliases[0],
            hostName,
            port,
            user,
            hivePort
          ]),
          [
            ["known", "10.0.0.1", 22, "me", 1],
            ["castor", "192.0.2.7", 22, "everyone", 9001],
            ["atlas", "192.0.2.1", 22, "ann", 9001],
            ["big", "192.0.2.1", 22, "ann", 9001],
            ["boreas", "boreas.example.org", 2222, "everyone", 9001]
          ]
        )
        const text = readFileSync(file, "utf8")
        assert.isTrue(text.startsWith(before))
        assert.deepInclude(yield* run(request, silent), { imported: 0, existing: 5, skipped: 2 })
        assert.strictEqual(readFileSync(file, "utf8"), text)
      })
    )
  )

  it.live("runs no command that the file contains", () =>
    inHome((home) =>
      Effect.gen(function* () {
        const ran = join(home, "ran")
        writeFileSync(
          join(home, "ssh_config"),
          `Match exec "touch ${ran}"\n  User x\nHost atlas\n  User ann\n`
        )
        const { run } = yield* HiveImport
        const report = yield* run({ path: join(home, "ssh_config"), defaultHivePort: 1 }, silent)
        assert.deepInclude(report, { imported: 1, existing: 0, skipped: 0 })
        assert.isFalse(existsSync(ran))
      })
    )
  )

  it.live("keeps an entry that another process writes during the import", () =>
    Effect.gen(function* () {
      const home = yield* temporaryFolder
      writeFileSync(join(home, "ssh_config"), "Host atlas\n  User ann\nHost boreas\n  User ann\n")
      const entry = { aliases: ["atlas"], hostName: "10.0.0.1", port: 22, user: "me", hivePort: 1 }
      const late = Layer.effect(
        HivesConf,
        Effect.map(HivesConf, (conf) =>
          HivesConf.of({
            ...conf,
            update: (edit) =>
              Effect.andThen(
                conf.update((text) => HivesConfEdit.put(text, entry)),
                conf.update(edit)
              )
          })
        )
      ).pipe(Layer.provide(HivesConf.layer))
      const layer = HiveImport.layerNoDeps.pipe(
        Layer.provideMerge(late),
        Layer.provide(Pids.layer),
        Layer.provide([Paths.layerAt(home), NodeServices.layer])
      )
      yield* Effect.gen(function* () {
        const { run } = yield* HiveImport
        const report = yield* run({ path: join(home, "ssh_config"), defaultHivePort: 8081 }, silent)
        assert.deepInclude(report, { imported: 1, existing: 1, skipped: 0 })
        const entries = yield* HivesConf.use(({ load }) => load)
        assert.deepStrictEqual(entries[0], entry)
        assert.deepStrictEqual(entries[1]?.aliases, ["boreas"])
      }).pipe(Effect.provide(layer))
    }).pipe(Effect.scoped)
  )

  it.live("expands ~ to HOME, and uses this process's user where the ssh configuration names none", () =>
    Effect.gen(function* () {
      const home = yield* temporaryFolder
      mkdirSync(join(home, ".ssh"))
      writeFileSync(join(home, ".ssh", "config"), "Host atlas\n")
      const layer = HiveImport.layerNoDeps.pipe(
        Layer.provideMerge(HivesConf.layer),
        Layer.provide(Pids.layer),
        Layer.provide([
          Paths.layerAt(home),
          NodeServices.layer,
          ConfigProvider.layer(ConfigProvider.fromUnknown({ HOME: home, LOGNAME: "ann" }))
        ])
      )
      yield* Effect.gen(function* () {
        const { run } = yield* HiveImport
        yield* run({ path: "~/.ssh/config", defaultHivePort: 8081 }, silent)
        const [entry] = yield* HivesConf.use(({ hives }) => hives)
        assert.deepInclude(entry, { hostName: "atlas", user: "ann", port: 22, hivePort: 8081 })
      }).pipe(Effect.provide(layer))
    }).pipe(Effect.scoped)
  )

  it.live("names the missing file", () =>
    inHome((home) =>
      Effect.gen(function* () {
        const { run } = yield* HiveImport
        const error = yield* Effect.flip(run({ path: join(home, "none"), defaultHivePort: 1 }, silent))
        assert.strictEqual(error._tag, "SshConfigUnreadable")
        assert.include(error.message, join(home, "none"))
      })
    )
  )
})
