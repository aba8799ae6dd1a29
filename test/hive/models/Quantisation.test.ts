import { assert, describe, it } from "@effect/vitest"
import { Schema } from "effect"
import { partsOf } from "../../../src/hive/gguf/splitFiles.ts"
import { chooseFile, preferred, quantisationPattern } from "../../../src/hive/models/Quantisation.ts"

const names = (...quantisations: ReadonlyArray<string>) => quantisations.map((name) => `tiny-${name}.gguf`)

describe("the choice of a file", () => {
  it("chooses the preferred quantization when the request names none", () => {
    const cases: ReadonlyArray<readonly [files: ReadonlyArray<string>, chosen: string | undefined]> = [
      [names("Q8_0", "q4_k_m", "Q2_K", "F16"), "tiny-q4_k_m.gguf"],
      [names("Q8_0", "Q5_K_M", "Q4_0", "Q4_K_S"), "tiny-Q4_K_S.gguf"],
      [names("F16", "BF16", "F32", "Q8_0"), "tiny-Q8_0.gguf"],
      [names("F32", "BF16", "F16"), "tiny-F16.gguf"],
      [names("BF16", "UD-Q4_K_XL"), "tiny-UD-Q4_K_XL.gguf"],
      [names("UD-Q4_K_M", "Q4_K_M"), "tiny-Q4_K_M.gguf"],
      [["tiny-f16.gguf", "tiny.gguf"], "tiny.gguf"],
      [
        ["mmproj-Q4_K_M.gguf", "tiny.imatrix-Q4_K_M.gguf", "mtp/tiny-Q4_K_M.gguf", ...names("F16")],
        "tiny-F16.gguf"
      ],
      [["a-draft-Q4_K_M.gguf", ...names("Q8_0")], "tiny-Q8_0.gguf"],
      [["a-DRAFT-0.6b-Q4_0.gguf", "a-DRAFT-0.6b-Q8_0.gguf"], "a-DRAFT-0.6b-Q4_0.gguf"],
      [
        ["tiny-Q4_K_M-00002-of-00002.gguf", "tiny-Q4_K_M-00001-of-00002.gguf"],
        "tiny-Q4_K_M-00001-of-00002.gguf"
      ],
      [["longer/tiny-Q4_K_M.gguf", ...names("Q4_K_M")], "tiny-Q4_K_M.gguf"],
      [["README.md", "mmproj-F16.gguf", "model.safetensors", "tiny-Q4_K_M-00002-of-00002.gguf"], undefined],
      [[], undefined]
    ]
    for (const [files, chosen] of cases)
      assert.strictEqual(chooseFile(files, undefined), chosen, files.join())
  })

  it("chooses the file that the variant names: a quantization in any case, a name, or a path", () => {
    const files = [
      ...names("Q4_K_M", "Q4_K_S", "q8_0", "UD-Q4_K_XL"),
      "Q6_K/tiny-00001-of-00002.gguf",
      "Q6_K/tiny-00002-of-00002.gguf",
      "old/tiny-Q4_K_S.gguf",
      "mmproj-F16.gguf"
    ]
    const cases: ReadonlyArray<readonly [variant: string, chosen: string | undefined]> = [
      ["q4_k_m", "tiny-Q4_K_M.gguf"],
      ["Q8_0", "tiny-q8_0.gguf"],
      ["UD-Q4_K_XL", "tiny-UD-Q4_K_XL.gguf"],
      ["Q4_K_XL", "tiny-UD-Q4_K_XL.gguf"],
      ["Q6_K", "Q6_K/tiny-00001-of-00002.gguf"],
      ["Q4_K_S", "tiny-Q4_K_S.gguf"],
      ["tiny-Q4_K_S", "tiny-Q4_K_S.gguf"],
      ["old/tiny-Q4_K_S.gguf", "old/tiny-Q4_K_S.gguf"],
      ["mmproj-F16.gguf", "mmproj-F16.gguf"],
      ["F16", undefined],
      ["Q4_K", undefined],
      ["Q4.K.M", undefined],
      [".*", undefined]
    ]
    for (const [variant, chosen] of cases) assert.strictEqual(chooseFile(files, variant), chosen, variant)
    assert.strictEqual(chooseFile(["A.gguf", "a.gguf"], "a.gguf"), "a.gguf")
  })

  const Word = Schema.Literals([...preferred, "F16", "BF16", "mmproj", "imatrix", "v1", "00001-of-00002"])
  const File = Schema.TemplateLiteral([
    Schema.Literals(["", "a/", "B/"]),
    "tiny-",
    Word,
    Schema.Literals([".", "-"]),
    Word,
    ".gguf"
  ])

  it.prop(
    "does not depend on the order, and is one of the files",
    [Schema.Array(File), Word],
    ([files, variant]) => {
      for (const wanted of [undefined, variant]) {
        const chosen = chooseFile(files, wanted)
        assert.strictEqual(chooseFile(files.toReversed(), wanted), chosen)
        if (chosen === undefined) continue
        assert.include(files, chosen)
        assert.strictEqual(chooseFile(files, chosen), chosen)
        assert.notMatch(chosen, /mmproj|imatrix/)
        if (wanted !== undefined) assert.isTrue(quantisationPattern(wanted).test(chosen))
      }
    }
  )

  it.prop(
    "takes any text as a variant, and never throws",
    [Schema.Array(Schema.String), Schema.String],
    ([files, variant]) => {
      const ggufs = files.map((file) => `${file}.gguf`)
      for (const file of ggufs) assert.isDefined(chooseFile(ggufs, file))
      const chosen = chooseFile(ggufs, variant)
      if (chosen !== undefined) assert.include(ggufs, chosen)
    }
  )

  it("counts the parts of a split model in order", () => {
    assert.deepStrictEqual(partsOf("a/tiny-00001-of-00003.gguf"), [
      "a/tiny-00001-of-00003.gguf",
      "a/tiny-00002-of-00003.gguf",
      "a/tiny-00003-of-00003.gguf"
    ])
    for (const single of ["tiny.gguf", "tiny-00001-of-00001.gguf", "tiny-00001-of-00000.gguf"]) {
      assert.deepStrictEqual(partsOf(single), [single])
    }
  })
})
