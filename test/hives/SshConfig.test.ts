import { execFileSync } from "node:child_process"
import { mkdirSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { NodeServices } from "@effect/platform-node"
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { readSshConfig } from "../../src/hives/SshConfig.ts"
import { temporaryFolder } from "../support/rbee.ts"

/** Reads the text as `~/.ssh/config`, with other files beside it. */
const hostsOf = (text: string, others: Readonly<Record<string, string>> = {}) =>
  Effect.gen(function* () {
    const home = yield* temporaryFolder
    mkdirSync(join(home, ".ssh", "more"), { recursive: true })
    const file = join(home, ".ssh", "config")
    writeFileSync(file, text)
    for (const [name, content] of Object.entries(others)) writeFileSync(join(home, ".ssh", name), content)
    return yield* readSshConfig(file, home)
  }).pipe(Effect.scoped, Effect.provide(NodeServices.layer))

const host = (alias: string, others: object = {}) => ({
  alias,
  hostName: alias,
  port: "22",
  user: undefined,
  ...others
})

describe("reading an ssh configuration", () => {
  it.effect("takes names in any case, with =, quotes, comments and CRLF, and no patterns", () =>
    Effect.gen(function* () {
      const text =
        '# mine\r\n\r\nHOST atlas "b c" d* # big\r\n\thostname=192.0.2.1 # old\r\n  USER "ann"\r\nhost=e !f\r\nPort 2222'
      assert.deepStrictEqual(yield* hostsOf(text), [
        host("atlas", { hostName: "192.0.2.1", user: "ann" }),
        host("b c", { hostName: "192.0.2.1", user: "ann" }),
        host("e", { port: "2222" })
      ])
    })
  )

  it.effect("gives the first value that counts for a name, those of patterns included", () =>
    Effect.gen(function* () {
      const text = `User first
Host atlas
  User second
  Port 1
  Port 8
Host atlas
  Port 2
  HostName %h.example.org
Host * !atlas
  Port 3
Host boreas
  Port 4
Host out !out
  Port 5`
      assert.deepStrictEqual(yield* hostsOf(text), [
        host("atlas", { user: "first", port: "1", hostName: "atlas.example.org" }),
        host("boreas", { user: "first", port: "3" })
      ])
    })
  )

  it.effect("passes over Match with its properties, and runs nothing", () =>
    Effect.gen(function* () {
      const text = `Match exec "touch ran"\n  User evil\n  Include inner\nMatch all\n  User all\nHost atlas\n`
      assert.deepStrictEqual(yield* hostsOf(text, { inner: "Host inner\n" }), [host("atlas")])
    })
  )

  it.effect("follows Include, by patterns too, and goes on with the block that it stood in", () =>
    Effect.gen(function* () {
      const text = `Include more/*.conf ~/.ssh/one none\nHost atlas\n  Include inner\n  Port 7\nInclude config`
      const others = {
        "more/b.conf": "Host b\n",
        "more/a.conf": "Host a\n  Port 3\n",
        "more/c.other": "Host c\n",
        one: "Host one\n",
        inner: "User ann\nHost other\n  Port 9\nHost a*\n  HostName 192.0.2.1\n"
      }
      assert.deepStrictEqual(yield* hostsOf(text, others), [
        host("a", { port: "3" }),
        host("b"),
        host("one"),
        host("atlas", { user: "ann", hostName: "192.0.2.1", port: "7" })
      ])
    })
  )

  it.effect("says the same as ssh", () =>
    Effect.gen(function* () {
      const home = yield* temporaryFolder
      const text = `Host atlas big
  HostName 192.0.2.1
  User=ann
HOST "boreas"
  hostname %h.example.org
  Port 2222
Host *.lan web-? !atlas
  User nobody
Host web-1 nas.lan
Host * !boreas
  User everyone
  Port 2200
Host *
  User last
`
      const file = join(home, "config")
      writeFileSync(file, text)
      const hosts = yield* readSshConfig(file, home)
      assert.strictEqual(hosts.length, 5)
      for (const { alias, hostName, port, user } of hosts) {
        const told = execFileSync("ssh", ["-G", "-F", file, "--", alias], {
          stdio: ["ignore", "pipe", "ignore"]
        }).toString()
        for (const line of [`hostname ${hostName}`, `port ${port}`, `user ${user}`]) {
          assert.include(told.split("\n"), line, alias)
        }
      }
    }).pipe(Effect.scoped, Effect.provide(NodeServices.layer))
  )

  it.effect("holds names against patterns as ssh does, and in bounded time", () =>
    Effect.gen(function* () {
      const users = { "a*": "one", "*b": "two", "?": "three", "*c*d*": "four", "ab?": "five", "a.c": "six" }
      const lines = Object.entries(users).map(([pattern, user]) => `Host ${pattern}\n  User ${user}\n`)
      const found = yield* hostsOf(`${lines.toReversed().join("")}Host bb b xcxd a-c abc b.c`)
      assert.deepStrictEqual(
        found.map(({ alias, user }) => [alias, user]),
        [
          ["a.c", "six"],
          ["bb", "two"],
          ["b", "three"],
          ["xcxd", "four"],
          ["a-c", "one"],
          ["abc", "five"],
          ["b.c", undefined]
        ]
      )
      const long = `${"a".repeat(120)}c`
      const [slow] = yield* hostsOf(`Host ${"*a".repeat(40)}*b\n  User x\nHost ${long}\n`)
      assert.deepStrictEqual(slow, host(long))
    })
  )

  it.effect("says which file it cannot read, and reads no device and nothing huge", () =>
    Effect.gen(function* () {
      const home = yield* temporaryFolder
      writeFileSync(join(home, "huge"), "#".repeat(300_000))
      writeFileSync(join(home, "many"), "Host a\n".repeat(2001))
      writeFileSync(
        join(home, "names"),
        `Host ${Array.from({ length: 1001 }, (_, i) => `h${i}`).join(" ")}\n`
      )
      writeFileSync(join(home, "circle"), `Include ${"~/circle ".repeat(100)}\n`.repeat(30))
      const files = ["none", "", "huge", "many", "names", "circle"].map((name) => join(home, name))
      for (const file of [...files, "/dev/zero"]) {
        const error = yield* Effect.flip(readSshConfig(file, home))
        assert.strictEqual(error._tag, "SshConfigUnreadable")
        assert.include(error.message, file)
      }
    }).pipe(Effect.scoped, Effect.provide(NodeServices.layer))
  )
})
