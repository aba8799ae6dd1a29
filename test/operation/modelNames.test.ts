import { assert, describe, it } from "@effect/vitest"
import { findNamed, normalName } from "../../src/operation/modelNames.ts"

const known = [
  "mistral",
  "Upper",
  "ollama:x",
  "ollama:x:1b",
  "hf:org/repo:Q4_K_M",
  "rbee:tiny",
  "exact:latest"
]
const find = (asked: string) => findNamed(known, (name) => [name], asked)

describe("a model's name", () => {
  it("ignores :latest, .gguf and case", () => {
    for (const [asked, meant] of [
      ["x", "ollama:x"],
      ["x:latest", "ollama:x"],
      ["X.gguf", "ollama:x"],
      ["ollama:x:latest", "ollama:x"],
      ["x:1b", "ollama:x:1b"],
      ["mistral.GGUF", "mistral"],
      ["mistral:latest", "mistral"],
      ["mistral.gguf:latest", "mistral"],
      ["upper", "Upper"],
      ["tiny:latest", "rbee:tiny"],
      ["hf.co/org/repo:Q4_K_M", "hf:org/repo:Q4_K_M"],
      ["huggingface.co/Org/repo:q4_k_m", "hf:org/repo:Q4_K_M"],
      ["exact:latest", "exact:latest"]
    ] as const) {
      assert.deepStrictEqual([asked, find(asked)], [asked, meant])
    }
  })

  it("distinguishes tags", () => {
    for (const asked of ["x:2b", "mistral:7b", "latest", ".gguf", "", "repo"]) {
      assert.deepStrictEqual([asked, find(asked)], [asked, undefined])
    }
  })

  it("prefers an exact name to another spelling", () => {
    const both = ["a.gguf", "a", "ollama:a"]
    assert.strictEqual(
      findNamed(both, (name) => [name], "a"),
      "a"
    )
    assert.strictEqual(
      findNamed(both, (name) => [name], "ollama:a"),
      "ollama:a"
    )
    assert.strictEqual(normalName("HF.co/a/B.gguf:latest"), "hf:a/b")
  })
})
