import { assert, describe, it } from "@effect/vitest"
import { firstPartOf, isFirst, partsOf } from "../../../src/hive/gguf/splitFiles.ts"

describe("the files of a split model", () => {
  it("are all parts in order, from the first", () => {
    assert.deepStrictEqual(partsOf("/m/x-00001-of-00003.gguf"), [
      "/m/x-00001-of-00003.gguf",
      "/m/x-00002-of-00003.gguf",
      "/m/x-00003-of-00003.gguf"
    ])
  })

  it("are one file for a model that is not split", () => {
    for (const file of ["/m/x.gguf", "/m/x-00001-of-00001.gguf", "/m/x-1-of-3.gguf"]) {
      assert.deepStrictEqual(partsOf(file), [file])
    }
  })

  it("can be loaded from the first part only", () => {
    for (const file of ["x.gguf", "X.GGUF", "x-00001-of-00003.gguf"]) assert.isTrue(isFirst(file), file)
    for (const file of ["x-00002-of-00003.gguf", "x.bin", "gguf"]) assert.isFalse(isFirst(file), file)
  })

  it("lead from a later part to the first", () => {
    assert.strictEqual(firstPartOf("/m/x-00003-of-00003.gguf"), "/m/x-00001-of-00003.gguf")
    for (const file of ["x-00001-of-00003.gguf", "x.gguf"]) assert.isUndefined(firstPartOf(file), file)
  })
})
