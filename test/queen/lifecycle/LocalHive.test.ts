import { assert, describe, it } from "@effect/vitest"
import { serveArguments } from "../../../src/queen/lifecycle/LocalHive.ts"

describe("the command line of a local hive", () => {
  const queenUrlOf = (host: string, mountPath: string) =>
    serveArguments("atlas", { url: "http://127.0.0.1:8082" }, { host, port: 3000 }, mountPath).at(-1)

  it("has the hive's id and address", () => {
    assert.deepStrictEqual(
      serveArguments("atlas", { url: "http://127.0.0.1:8082" }, { host: "127.0.0.1", port: 8500 }, ""),
      "hive serve --hive-id atlas --host 127.0.0.1 --port 8082 --queen-url http://127.0.0.1:8500".split(" ")
    )
  })

  it("has the queen's address with the path that the queen is mounted at", () => {
    assert.strictEqual(queenUrlOf("127.0.0.1", "/llm"), "http://127.0.0.1:3000/llm")
    assert.strictEqual(queenUrlOf("0.0.0.0", "/llm"), "http://127.0.0.1:3000/llm")
  })
})
