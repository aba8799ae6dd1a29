import { chmodSync, existsSync, readFileSync, writeFileSync } from "node:fs"
import * as http from "node:http"
import { join } from "node:path"
import { NodeServices } from "@effect/platform-node"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Layer, Option, Queue, Schema } from "effect"
import type { HiveEntry } from "../../src/hives/HivesConfFormat.ts"
import { RemoteHive } from "../../src/queen/ssh/RemoteHive.ts"
import { Pids } from "../../src/system/Pids.ts"
import { entry, listener, type Machine, makeMachine, sshTo, target } from "../support/machine.ts"
import { freePort } from "../support/ports.ts"
import { temporaryFolder } from "../support/rbee.ts"

const program = new URL("../../dist/bin.js", import.meta.url).pathname

interface Scene {
  readonly machine: Machine
  readonly hive: HiveEntry
  readonly said: ReadonlyArray<string>
  readonly start: (alias?: string, queenUrl?: string) => ReturnType<RemoteHive["Service"]["start"]>
  readonly stop: (alias?: string) => ReturnType<RemoteHive["Service"]["stop"]>
}

/** A machine on which rbee is installed as `~/rbee`; its hives are stopped at the end. */
const scene = <A, E>(test: (scene: Scene) => Effect.Effect<A, E>) =>
  Effect.gen(function* () {
    const machine = makeMachine(yield* temporaryFolder)
    const launcher = join(machine.home, "rbee")
    writeFileSync(launcher, `#!/bin/sh\nexec '${process.execPath}' '${program}' "$@"\n`)
    chmodSync(launcher, 0o755)
    const hive = { ...entry, hivePort: yield* freePort, binaryPath: "~/rbee" }
    return yield* Effect.gen(function* () {
      const remote = yield* RemoteHive
      const { say, sentences } = listener()
      const stop = (alias = target.alias) => remote.stop({ ...target, alias }, hive, say)
      yield* Effect.addFinalizer(() => Effect.ignore(stop()))
      return yield* test({
        machine,
        hive,
        said: sentences,
        start: (alias = target.alias, queenUrl) =>
          remote.start({ ...target, alias }, hive, queenUrl === undefined ? {} : { queenUrl }, say),
        stop
      })
    }).pipe(Effect.provide(RemoteHive.layerNoDeps.pipe(Layer.provide(sshTo(machine)))))
  }).pipe(Effect.scoped)

const isAlive = (pid: number) =>
  Pids.use((pids) => pids.startTime(pid)).pipe(
    Effect.map(Option.isSome),
    Effect.provide(Layer.provide(Pids.layer, NodeServices.layer))
  )

const commandLineOf = (pid: number) => readFileSync(`/proc/${pid}/cmdline`, "utf8").split("\0")

const Beat = Schema.Struct({ hive_id: Schema.String })
const decodeBeat = Schema.decodeUnknownSync(Schema.fromJsonString(Beat))

/** A queen that only takes heartbeats. */
const queen = Effect.gen(function* () {
  const beats = yield* Queue.unbounded<string>()
  const server = yield* Effect.acquireRelease(
    Effect.callback<http.Server>((resume) => {
      const server = http.createServer((request, response) => {
        let body = ""
        request.on("data", (chunk: Buffer) => {
          body += chunk.toString()
        })
        request.on("end", () => {
          Queue.offerUnsafe(beats, decodeBeat(body).hive_id)
          response.end("{}")
        })
      })
      server.listen(0, "127.0.0.1", () => resume(Effect.succeed(server)))
    }),
    (server) => Effect.sync(() => server.close())
  )
  const address = server.address()
  const port = typeof address === "object" ? address?.port : undefined
  return { url: `http://127.0.0.1:${port}`, beats }
})

describe("RemoteHive", () => {
  it.live("starts and stops a hive, both idempotent", () =>
    scene(({ hive, said, start, stop }) =>
      Effect.gen(function* () {
        const first = yield* start()
        assert.strictEqual(first.url, `http://127.0.0.1:${hive.hivePort}`)
        assert.isTrue(yield* isAlive(first.pid))
        assert.includeMembers(commandLineOf(first.pid), ["atlas", "127.0.0.1", String(hive.hivePort)])
        assert.deepStrictEqual(yield* start(), first)
        yield* stop()
        assert.isFalse(yield* isAlive(first.pid))
        yield* stop()
        assert.include(said.at(-1), "has stopped")
      })
    )
  )

  it.live("starts one hive for two concurrent starts", () =>
    scene(({ start }) =>
      Effect.gen(function* () {
        const [left, right] = yield* Effect.all([start(), start()], { concurrency: "unbounded" })
        assert.deepStrictEqual(left, right)
        assert.isTrue(yield* isAlive(left.pid))
      })
    )
  )

  it.live("passes the queen's URL to the hive", () =>
    scene(({ start }) =>
      Effect.gen(function* () {
        const { beats, url } = yield* queen
        yield* start("atlas", url)
        assert.strictEqual(yield* Effect.timeout(Queue.take(beats), "5 seconds"), "atlas")
      }).pipe(Effect.scoped)
    )
  )

  it.live("stops only that hive", () =>
    scene(({ start, stop }) =>
      Effect.gen(function* () {
        const { pid } = yield* start()
        yield* stop("other")
        assert.isTrue(yield* isAlive(pid))
      })
    )
  )

  it.live(
    "listens beyond loopback only with a token, and reports the hive's error if it does not start",
    () =>
      scene(({ hive, machine, start }) =>
        Effect.gen(function* () {
          const remote = yield* RemoteHive
          const error = yield* remote
            .start(target, { ...hive, hostName: "atlas.example" }, {}, listener().say)
            .pipe(Effect.flip)
          assert.strictEqual(error._tag, "RemoteCommandFailed")
          assert.match(
            error.message,
            /^'rbee hive serve --detach .*' failed on machine 'atlas' with code 1: /
          )
          assert.include(error.message, "Refusing to listen on 0.0.0.0 without a token")
          assert.isTrue(existsSync(join(machine.rbeeHome, "state", "logs", "hive-atlas.log")))
          yield* start()
          const other = yield* Effect.flip(start("other"))
          assert.include(
            other.message,
            `http://127.0.0.1:${hive.hivePort} is in use by another daemon (hive)`
          )
        }).pipe(Effect.provide(RemoteHive.layerNoDeps.pipe(Layer.provide(sshTo(machine)))))
      )
  )

  it.live("explains how to install rbee if it is missing", () =>
    scene(({ hive, machine, said }) =>
      Effect.gen(function* () {
        const remote = yield* RemoteHive
        const missing = { ...hive, binaryPath: "/nowhere/rbee" }
        const { say } = listener()
        for (const error of [
          yield* Effect.flip(remote.start(target, missing, {}, say)),
          yield* Effect.flip(remote.stop(target, missing, say))
        ]) {
          assert.strictEqual(error._tag, "ProgramMissing")
          assert.include(error.message, "no /nowhere/rbee")
          assert.include(error.message, "'rbee hive install atlas'")
        }
        writeFileSync(join(machine.home, "rbee"), "#!/bin/sh\nexec /nowhere/node\n")
        const broken = yield* Effect.flip(remote.start(target, hive, {}, say))
        assert.strictEqual(broken._tag, "ProgramMissing")
        assert.deepStrictEqual(said, [])
      }).pipe(Effect.provide(RemoteHive.layerNoDeps.pipe(Layer.provide(sshTo(machine)))))
    )
  )
})
