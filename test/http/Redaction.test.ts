import { assert, describe, it } from "@effect/vitest"
import { redact } from "../../src/http/Redaction.ts"
import { JobEvent } from "../../src/job/log/JobEvent.ts"

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
      `sk-${secret}`,
      `bearer ${secret}`,
      "Bearer abc123",
      `Basic bWU6c2VjcmV0`,
      `bearer token: ${secret}.`,
      `rbee-${secret}${secret}${secret}`,
      "password: swordfish",
      `{"password": "swordfish"}`,
      "db_password=swordfish",
      `RBEE_TOKEN: "aaaaaaaaaaaaaaaaaaaa"`
    ]
    for (const text of texts) {
      assert.include(redact(text), "[redacted]", text)
      for (const bare of [secret, "abc123", "swordfish", "bWU6c2VjcmV0", "aaaa"])
        assert.notInclude(redact(text), bare, text)
    }
  })

  it("leaves what only sounds alike", () => {
    const texts = [
      "Prompt (2 tokens) plus max_tokens (600) exceeds the context length of 512 tokens",
      "max_tokens: 12000",
      "This daemon wants a token: Authorization: Bearer <token> (rbee reads it from RBEE_TOKEN or --token-file)",
      "Authentication required: send 'Authorization: Bearer <token>'",
      "API key required: send 'Authorization: Bearer <key>' or x-api-key; create one with 'rbee key create'",
      "Bearer authentication is required",
      "Basic authentication is not supported",
      "expected KEY=VALUE, such as HF_TOKEN=TOKEN",
      "'stop_token': expected a text",
      "Unexpected token: 'hello' in JSON",
      "Setting 'models.hf_endpoint' in config.toml: expected an http or https URL without a query",
      "unknown key: timeouts.load_stall",
      "the password: it is missing",
      "token: 151936 is not in the vocabulary",
      "Hive 'xyz' not found in configuration; known hives: localhost",
      "http://127.0.0.1:8081/v1/jobs"
    ]
    for (const text of texts) assert.strictEqual(redact(text), text)
  })

  it("is done by every narration", () => {
    assert.notInclude(JobEvent.narration("a", "b", `Bearer ${secret}`).json, secret)
  })
})
