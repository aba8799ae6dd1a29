import { assert, describe, it } from "@effect/vitest"
import { installedVersion } from "../../src/system/installedVersion.ts"

describe("installedVersion", () => {
  it("reads the version of an installed package", () => {
    assert.strictEqual(installedVersion("node-llama-cpp"), "3.21.1")
    assert.match(installedVersion("effect") ?? "", /^4\./)
  })

  it("gives nothing for a package that is not installed", () => {
    assert.isUndefined(installedVersion("rbee-has-no-such-package"))
  })
})
