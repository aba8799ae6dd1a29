import { assert, describe, it } from "@effect/vitest"
import { isLoopback, isLoopbackAuthority } from "../../src/system/loopback.ts"

const names = ["localhost", "LOCALHOST", "127.0.0.1", "127.200.3.4", "[::1]"]
const others = [
  "",
  "0.0.0.0",
  "::",
  "localhost.evil.org",
  "evil.localhost",
  "127.0.0.1.evil.org",
  "127.1",
  "10.0.0.1"
]

describe("loopback", () => {
  it("is a name or an address of this machine", () => {
    for (const host of [...names, "::1"]) assert.isTrue(isLoopback(host), host)
    for (const host of [...others, "127.0.0.1:80"]) assert.isFalse(isLoopback(host), host)
  })

  it("may have a port in a Host header", () => {
    for (const host of names) {
      assert.isTrue(isLoopbackAuthority(host), host)
      assert.isTrue(isLoopbackAuthority(`${host}:8500`), host)
      assert.isFalse(isLoopbackAuthority(`${host}:`), host)
      assert.isFalse(isLoopbackAuthority(`${host}:850000`), host)
    }
    for (const host of [...others, "::1", "::1:80"]) assert.isFalse(isLoopbackAuthority(host), host)
  })
})
