import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { QueenClient, withQueen } from "../../support/queen.ts"

interface Listed {
  readonly entries: ReadonlyArray<Readonly<Record<string, unknown>>>
}

const listed = Effect.gen(function* () {
  const { run } = yield* QueenClient
  const events = yield* run({ operation: "audit_list" })
  const result = events.find(({ kind }) => kind === "result")
  const { entries }: Listed = JSON.parse(result?.json ?? "{}")
  return entries
})

describe("the audit log of a queen", () => {
  it.live("lists operations that change something, with caller, address, fields and outcome", () =>
    Effect.gen(function* () {
      const { run, submit } = yield* QueenClient
      yield* run({ operation: "status" })
      yield* run({ operation: "hive_stop", alias: "nowhere" })
      const url = "https://me:secret-secret@example.test/model.gguf"
      const id = yield* submit({ operation: "model_download", hive_id: "nowhere", model: url })
      yield* (yield* QueenClient).ask("GET", `/v1/jobs/${id}/stream`)
      const entries = yield* listed
      assert.deepStrictEqual(
        entries.map(({ operation }) => operation),
        ["hive_stop", "model_download"]
      )
      const [stopped, download] = entries
      assert.deepInclude(stopped, {
        daemon: "queen",
        caller: "local",
        address: "127.0.0.1",
        request: { operation: "hive_stop", alias: "nowhere" }
      })
      assert.match(String(stopped?.["outcome"]), /^failed: Hive 'nowhere' not found/)
      assert.deepInclude(download, { job_id: id, hive_id: "nowhere" })
      assert.notInclude(JSON.stringify(download), "secret-secret")
    }).pipe((test) => withQueen(test))
  )

  it.live("names the token of the caller by its fingerprint", () =>
    Effect.gen(function* () {
      const { ask } = yield* QueenClient
      const headers = { authorization: "Bearer a-token-of-the-test-0001" }
      const stop = '{"operation":"hive_stop","alias":"nowhere"}'
      const { text } = yield* ask("POST", "/v1/jobs", stop, headers)
      yield* ask("GET", `/v1/jobs/${JSON.parse(text).job_id}/stream`, undefined, headers)
      const list = yield* ask("POST", "/v1/jobs", '{"operation":"audit_list"}', {
        ...headers,
        accept: "text/event-stream"
      })
      assert.match(list.text, /"caller":"token [0-9a-f]{8}"/)
      assert.notInclude(list.text, "a-token-of-the-test")
    }).pipe((test) => withQueen(test, { token: "a-token-of-the-test-0001" }))
  )
})
