import { assert, describe, it } from "@effect/vitest"
import { isTold, reachableUrl } from "../../src/hive/Heartbeat.ts"

describe("Heartbeat", () => {
  it("names an address that the queen can reach", () => {
    assert.strictEqual(reachableUrl("127.0.0.1", 8081, "http://queen:8500"), "http://127.0.0.1:8081")
    assert.strictEqual(reachableUrl("192.0.2.7", 9000, "http://queen:8500"), "http://192.0.2.7:9000")
    assert.strictEqual(reachableUrl("2001:db8::7", 9000, "http://queen:8500"), "http://[2001:db8::7]:9000")
    assert.strictEqual(reachableUrl("0.0.0.0", 9000, "http://localhost:8500"), "http://127.0.0.1:9000")
    assert.notInclude(reachableUrl("0.0.0.0", 9000, "http://queen:8500"), "0.0.0.0")
  })

  it("tells of failures less and less often", () => {
    const told = Array.from({ length: 200 }, (_, index) => index + 1).filter(isTold)
    assert.deepStrictEqual(told, [1, 2, 4, 8, 16, 32, 64, 128, 192])
  })
})
