import { assert, describe, it } from "@effect/vitest"
import { Effect, FileSystem, Layer, Option } from "effect"
import { Token } from "../../src/access/Token.ts"
import { Connection } from "../../src/cli/Connection.ts"
import { Output } from "../../src/cli/Output.ts"
import { DaemonClient } from "../../src/daemon/DaemonClient.ts"
import { type PeerError, PeerRefused, PeerUnreachable } from "../../src/job/client/clientErrors.ts"
import { Paths } from "../../src/settings/Paths.ts"
import { Settings } from "../../src/settings/Settings.ts"
import { DetachedProcess } from "../../src/system/DetachedProcess.ts"
import { PidFile } from "../../src/system/PidFile.ts"
import { Pids } from "../../src/system/Pids.ts"

const url = "http://127.0.0.1:8500"

/** A connection of a CLI with a token or without one, to a daemon that responds as given. */
const connectionTo = (
  daemon: Effect.Effect<{ readonly name: string }, PeerError>,
  { queenUrl, token }: { readonly queenUrl?: string; readonly token?: string } = {}
) =>
  Effect.flatMap(
    Layer.build(
      Connection.layer(Option.fromUndefinedOr(queenUrl)).pipe(
        Layer.provide([
          Layer.mock(DaemonClient)({ buildInfo: () => daemon }),
          Layer.mock(DetachedProcess)({}),
          Layer.mock(Pids)({}),
          Layer.mock(PidFile)({ read: () => Effect.succeedNone }),
          Layer.mock(Output)({ json: false }),
          FileSystem.layerNoop({}),
          Paths.layerAt("/nowhere"),
          Settings.layerDefaults(),
          Token.layerMemory(token)
        ])
      )
    ),
    (context) => Effect.provide(Connection, context)
  )

const refusal = (status: number, detail: string) => Effect.fail(new PeerRefused({ url, status, detail }))
const unreachable = Effect.fail(new PeerUnreachable({ url, reason: "refused" }))

describe("Connection", () => {
  it.effect("says which token the queen requires, in place of starting a second queen", () =>
    Effect.gen(function* () {
      const withoutToken = yield* connectionTo(refusal(401, "Authentication required"))
      const withWrongToken = yield* connectionTo(refusal(401, "not the token"), {
        token: "a token of sixteen and more"
      })
      const messagesOf = ({ isHealthy, queen, runningQueen, start }: Connection["Service"]) =>
        Effect.map(
          Effect.all([
            Effect.flip(Effect.flatMap(queen, isHealthy)),
            Effect.flip(start),
            Effect.flip(runningQueen)
          ]),
          (errors) => errors.map(({ message }) => message)
        )
      assert.deepStrictEqual(
        yield* messagesOf(withoutToken),
        Array<string>(3).fill(
          `The queen at ${url} requires a token; pass it in RBEE_TOKEN or with --token-file`
        )
      )
      for (const message of yield* messagesOf(withWrongToken)) {
        assert.include(message, `The queen at ${url} rejected the token; pass the`)
      }
    }).pipe(Effect.scoped)
  )

  it.effect("reports any other rejection with the sentence of the daemon", () =>
    Effect.gen(function* () {
      const { isHealthy } = yield* connectionTo(refusal(403, "Host 'x' is not allowed"))
      assert.strictEqual(
        (yield* Effect.flip(isHealthy({ url }))).message,
        `The daemon at ${url} rejected the request: Host 'x' is not allowed`
      )
    }).pipe(Effect.scoped)
  )

  it.effect("does not start a queen where another daemon responds, nor if a URL was given", () =>
    Effect.gen(function* () {
      const hive = yield* connectionTo(Effect.succeed({ name: "hive" }))
      assert.strictEqual(
        (yield* Effect.flip(hive.start)).message,
        `${url} is served by a hive, not a queen; choose another port with RBEE_QUEEN_PORT`
      )
      const away = yield* connectionTo(unreachable, { queenUrl: "http://192.0.2.7:8500/" })
      assert.strictEqual(
        (yield* Effect.flip(away.runningQueen)).message,
        "Cannot reach a queen at http://192.0.2.7:8500; check the address and that the queen is running"
      )
    }).pipe(Effect.scoped)
  )

  it.effect("uses the queen that responds", () =>
    Effect.gen(function* () {
      const { isHealthy, runningQueen } = yield* connectionTo(Effect.succeed({ name: "queen" }))
      assert.strictEqual((yield* runningQueen).url, url)
      assert.isTrue(yield* isHealthy({ url }))
      const stopped = yield* connectionTo(unreachable)
      assert.isFalse(yield* stopped.isHealthy({ url }))
    }).pipe(Effect.scoped)
  )
})
