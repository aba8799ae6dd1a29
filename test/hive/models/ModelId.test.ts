import { assert, describe, it } from "@effect/vitest"
import { Result, Schema } from "effect"
import * as ModelId from "../../../src/hive/models/ModelId.ts"

const canonical = (text: string) => Result.getOrThrow(Result.map(ModelId.parse(text), ModelId.format))
const reason = (text: string) => Result.getOrThrow(Result.flip(ModelId.parse(text))).reason

describe("ModelId", () => {
  it("parses every form, and formats each canonically", () => {
    const spellings: ReadonlyArray<readonly [string, string]> = [
      ["rbee:tiny", "rbee:tiny"],
      ["hf:Qwen/Qwen2.5-0.5B-Instruct-GGUF", "hf:Qwen/Qwen2.5-0.5B-Instruct-GGUF"],
      ["Qwen/Qwen2.5-0.5B-Instruct-GGUF:Q4_K_M", "hf:Qwen/Qwen2.5-0.5B-Instruct-GGUF:Q4_K_M"],
      ["hf:org/repo:folder/model-q8_0.gguf", "hf:org/repo:folder/model-q8_0.gguf"],
      ["ollama:llama3.2", "ollama:llama3.2"],
      ["ollama:llama3.2:latest", "ollama:llama3.2"],
      ["ollama:someone/model:7b-q4_0", "ollama:someone/model:7b-q4_0"],
      ["https://example.org/models/a.gguf?download=true", "https://example.org/models/a.gguf?download=true"],
      ["https://EXAMPLE.org:443/a.gguf", "https://example.org/a.gguf"],
      ["file:/srv/models/My Model é.gguf", "file:/srv/models/My Model é.gguf"],
      ["/srv/models/a.gguf", "file:/srv/models/a.gguf"],
      ["llama2", "llama2"],
      ["llama2.gguf", "llama2"],
      ["llama2:latest", "llama2"],
      ["llama2.GGUF:latest", "llama2"],
      ["rbee:tiny:latest", "rbee:tiny"],
      ["hf:org/repo:latest", "hf:org/repo"],
      ["ollama:latest", "ollama:latest"],
      ["My [Q4] Model (v2).gguf", "My [Q4] Model (v2)"],
      ["file:/srv/My [Q4] (v2) & more.GGUF", "file:/srv/My [Q4] (v2) & more.GGUF"]
    ]
    for (const [text, expected] of spellings) assert.strictEqual(canonical(text), expected)
    assert.deepStrictEqual(
      Result.getOrThrow(ModelId.parse("org/repo:Q8_0")),
      ModelId.ModelId.cases.HuggingFace.make({ org: "org", repo: "repo", variant: "Q8_0" })
    )
  })

  it("rejects ids that reach another folder or have a meaning in a shell", () => {
    const refused: ReadonlyArray<readonly [string, RegExp]> = [
      ["", /empty/],
      ["x".repeat(513), /longer than 512/],
      ["../secret", /'\.\.'/],
      ["org/..", /'\.\.'/],
      ["hf:org/repo:../../x.gguf", /'\.\.'/],
      ["file:/srv/../etc/passwd", /'\.\.'/],
      ["file:/srv/./x.gguf", /'\.\.' or '\.'/],
      ["https://example.org/%2e%2e/x.gguf", /'\.\.'/],
      ["/etc/passwd", /end in \.gguf/],
      ["file:relative.gguf", /absolute path/],
      ["file://host/x.gguf", /absolute path/],
      ["file:/", /absolute path/],
      ["org/na\u0000me", /control characters/],
      ["org/name\n", /control characters/],
      ["org/\u202ename", /control characters/],
      ...[";", "|", "&", "$", "`", "'", '"', "<", ">", "(", ")", "*", "\\", "!", "~", " ", "{", "#"].map(
        (character) => [`org/name${character}x`, /./] as const
      ),
      ["org/name;rm -rf", /shell/],
      ["hf:org", /org\/repo/],
      ["hf:a/b/c", /org\/repo/],
      ["hf:-org/repo", /org\/repo/],
      ["a/b/c", /characters/],
      ["-rf", /characters/],
      [".hidden", /characters/],
      ["ollama:", /Ollama/],
      ["rbee:huge", /only the model rbee:tiny/],
      ["http://example.org/a.gguf", /'http:' is not a source/],
      ["s3:bucket/x", /'s3:' is not a source/],
      ["javascript:alert", /'javascript:' is not a source/],
      ["https://user:pass@example.org/a.gguf", /plain https/],
      ["https://example.org", /plain https/],
      ["https://example.org:99999/a.gguf", /plain https/],
      ["https://[::1]/a.gguf", /plain https/],
      [" padded", /characters/],
      ["padded ", /characters/],
      ["two;names", /shell/],
      ['a"b', /shell/],
      ["s3:", /'s3:' is not a source/]
    ]
    for (const [text, expected] of refused) assert.match(reason(text), expected, text)
  })

  it("lists the accepted forms, and sanitizes and truncates an invalid id", () => {
    const error = Result.getOrThrow(Result.flip(ModelId.parse(`\u001b[31m${"x".repeat(600)}`)))
    assert.strictEqual(
      error.message,
      `'?[31m${"x".repeat(95)}' is not a model id: it is longer than 512 characters; write rbee:tiny, ` +
        "hf:org/repo[:quant or file] (or org/repo), ollama:name[:tag], https://host/path/model.gguf, " +
        "file:/path/to/model.gguf, or the name of a file in the models folder"
    )
  })

  const word = Schema.String.check(Schema.isPattern(/^[A-Za-z0-9_][A-Za-z0-9_-]{0,20}$/))
  it.prop("parsing and formatting an id are inverse", [word, word, word], ([a, b, c]) => {
    const texts = [
      `${a}/${b}`,
      `hf:${a}/${b}:${c}.gguf`,
      `ollama:${a}/${b}:${c}`,
      `file:/${a}/${b} ${c}.gguf`,
      a
    ]
    for (const text of texts) {
      const id = Result.getOrThrow(ModelId.parse(text))
      assert.deepStrictEqual(Result.getOrThrow(ModelId.parse(ModelId.format(id))), id)
    }
  })

  it.prop(
    "any text is refused or has a stable spelling without '..', control characters and those that start or redirect commands",
    [Schema.String, Schema.Literals(["", "hf:a/", "file:/", "https://a.b/", "ollama:"])],
    ([text, prefix]) => {
      const id = ModelId.parse(prefix + text)
      if (Result.isFailure(id)) return
      const spelling = ModelId.format(id.success)
      // oxlint-disable-next-line no-control-regex -- control characters must not be there
      assert.notMatch(spelling, /\.\.|[\u0000-\u001f\u007f;|<>$`"\\*^]/)
      assert.strictEqual(canonical(spelling), spelling)
    },
    { arbitrary: { runs: 1000 } }
  )
})
