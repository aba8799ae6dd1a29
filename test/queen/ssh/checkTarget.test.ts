import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { checkArguments, checkCopy, checkTarget } from "../../../src/queen/ssh/checkTarget.ts"
import type { InvalidTarget } from "../../../src/queen/ssh/SshErrors.ts"
import type { SshTarget } from "../../../src/queen/ssh/SshTarget.ts"

const target: SshTarget = { alias: "atlas", hostName: "10.0.0.7", port: 22, user: "me" }

const fieldOf = (check: Effect.Effect<unknown, InvalidTarget>) =>
  Effect.match(check, { onFailure: ({ field }) => field, onSuccess: () => undefined })

describe("checkTarget", () => {
  it.effect("accepts names, addresses and ports as hives.conf has them", () =>
    Effect.gen(function* () {
      const accepted = [
        {},
        { alias: "gpu_box-1.lan", user: "me.too" },
        { hostName: "fe80::1" },
        { port: 1 },
        { port: 65535 }
      ]
      for (const changes of accepted)
        assert.isUndefined(yield* fieldOf(checkTarget({ ...target, ...changes })))
    })
  )

  it.effect("rejects options, shell characters and invalid ports, and names the field", () =>
    Effect.gen(function* () {
      const rejected = [
        [{ alias: "-oProxyCommand=x" }, "alias"],
        [{ alias: "a b" }, "alias"],
        [{ alias: "a".repeat(129) }, "alias"],
        [{ hostName: "-x" }, "HostName"],
        [{ hostName: "a;b" }, "HostName"],
        [{ hostName: "a\nb" }, "HostName"],
        [{ user: "me@other" }, "User"],
        [{ user: "" }, "User"],
        [{ port: 0 }, "Port"],
        [{ port: 65536 }, "Port"],
        [{ port: 2.5 }, "Port"]
      ] as const
      for (const [changes, field] of rejected) {
        assert.strictEqual(
          yield* fieldOf(checkTarget({ ...target, ...changes })),
          field,
          JSON.stringify(changes)
        )
      }
    })
  )
})

describe("checkArguments", () => {
  it.effect("accepts any text but NUL, and does not repeat a rejected argument", () =>
    Effect.gen(function* () {
      assert.isUndefined(yield* fieldOf(checkArguments(target, ["-x", "a b", "$(c)", "'", "\n", ""])))
      const error = yield* Effect.flip(checkArguments(target, ["secret\0"]))
      assert.notInclude(error.message, "secret")
    })
  )
})

describe("checkCopy", () => {
  it.effect("accepts absolute paths only", () =>
    Effect.gen(function* () {
      assert.isUndefined(yield* fieldOf(checkCopy(target, ["/tmp/a b:c"], "/data/in coming")))
      assert.strictEqual(yield* fieldOf(checkCopy(target, ["/tmp/a", "host:file"], "/data")), "file")
      assert.strictEqual(yield* fieldOf(checkCopy(target, ["-r"], "/data")), "file")
      assert.strictEqual(yield* fieldOf(checkCopy(target, ["/tmp/a"], "data")), "folder")
      assert.strictEqual(yield* fieldOf(checkCopy(target, ["/tmp/a"], "/da\nta")), "folder")
    })
  )
})
