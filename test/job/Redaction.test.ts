import { assert, describe, it } from "@effect/vitest"
import { JobEvent } from "../../src/job/JobEvent.ts"
import { redact } from "../../src/job/Redaction.ts"

const secret = "Zm9vYmFyYmF6cXV4"

describe("redact", () => {
  it("hides tokens, keys and passwords, wherever they come from", () => {
    const texts = [
      `Authorization: Bearer ${secret}`,
      `HF_TOKEN=${secret}`,
      `the server said {"api_key": "${secret}"}`,
      `token: ${secret}`,
      `password=${secret}&user=me`,
      `https://me:${secret}@example.org/x`,
      `hf_${secret} was refused`,
      `sk-${secret}`
    ]
    for (const text of texts) assert.notInclude(redact(text), secret, text)
  })

  it("leaves what only sounds alike", () => {
    const texts = [
      "The prompt has 2 tokens and max_tokens is 600: together they go beyond the context",
      "max_tokens: 12000",
      "Hive 'xyz' not found in configuration; known hives: localhost",
      "http://127.0.0.1:8081/v1/jobs"
    ]
    for (const text of texts) assert.strictEqual(redact(text), text)
  })

  it("is done by every narration", () => {
    assert.notInclude(JobEvent.narration("a", "b", `Bearer ${secret}`).json, secret)
  })
})
