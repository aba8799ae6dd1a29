import { assert, describe, it } from "@effect/vitest"
import { baseUrl, hiveUrl } from "../../../src/queen/registry/hiveUrl.ts"

describe("baseUrl", () => {
  it("puts an IPv6 address in brackets", () => {
    assert.strictEqual(baseUrl("atlas.lan", 8081), "http://atlas.lan:8081")
    assert.strictEqual(baseUrl("fe80::1", 9081), "http://[fe80::1]:9081")
  })
})

describe("hiveUrl", () => {
  it("is that of the heartbeat, else the sender's address with the default port", () => {
    assert.strictEqual(hiveUrl("http://atlas:9081", "10.0.0.7"), "http://atlas:9081")
    for (const url of [undefined, null]) assert.strictEqual(hiveUrl(url, "10.0.0.7"), "http://10.0.0.7:8081")
  })
})
