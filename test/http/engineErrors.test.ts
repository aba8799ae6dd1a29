import { assert, describe, it } from "@effect/vitest"
import { errorInEvent, isContextOverflow, mayBeError, readEngineError } from "../../src/http/engineErrors.ts"

const json = (value: unknown) => JSON.stringify(value)

describe("readEngineError", () => {
  const nothing = { type: null, param: null, code: null, status: undefined }
  const forms: ReadonlyArray<readonly [engine: string, body: string, expected: object]> = [
    [
      "llama-server: a number as code",
      json({ error: { code: 400, message: "too long: 9000 of 4096", type: "exceed_context_size_error" } }),
      { message: "too long: 9000 of 4096", type: "exceed_context_size_error", code: "400", status: 400 }
    ],
    [
      "OpenAI: a text as code",
      json({ error: { code: "bad_x", message: "not x", type: "invalid_request_error", param: "x" } }),
      { message: "not x", type: "invalid_request_error", code: "bad_x", param: "x" }
    ],
    [
      "vLLM: null as param and a type of Python",
      json({ error: { message: "no", type: "BadRequestError", param: null, code: 422 } }),
      { message: "no", type: "BadRequestError", code: "422", status: 422 }
    ],
    [
      "older vLLM, SGLang: flat",
      json({ object: "error", message: "flat words", type: "BadRequestError", param: null, code: 400 }),
      { message: "flat words", type: "BadRequestError", code: "400", status: 400 }
    ],
    ["MLX, Ollama: a text as error", json({ error: "model not loaded" }), { message: "model not loaded" }],
    [
      "TGI: a text as error with a type beside it",
      json({ error: "Request failed during generation", error_type: "generation" }),
      { message: "Request failed during generation", type: "generation" }
    ],
    ["FastAPI: detail", json({ detail: "Not Found" }), { message: "Not Found" }],
    [
      "FastAPI: a list",
      json({
        detail: [
          { loc: ["body", "max_tokens"], msg: "Input should be an integer", type: "int_parsing" },
          { loc: ["body", "messages", 0, "role"], msg: "Field required", type: "missing" }
        ]
      }),
      {
        message: "max_tokens: Input should be an integer; messages.0.role: Field required",
        type: "int_parsing",
        param: "max_tokens"
      }
    ],
    [
      "an object as detail",
      json({ detail: { error: { message: "deep", type: "t", code: "c" } } }),
      { message: "deep", type: "t", code: "c" }
    ],
    [
      "Anthropic",
      json({ type: "error", error: { type: "overloaded_error", message: "busy" } }),
      { message: "busy", type: "overloaded_error" }
    ],
    [
      "Gemini: in a list",
      json([{ error: { code: 429, message: "slow down", status: "RESOURCE_EXHAUSTED" } }]),
      { message: "slow down", code: "429", status: 429 }
    ],
    [
      "NestJS: the status' name beside the sentence",
      json({ statusCode: 400, message: ["a must be b"], error: "Bad Request" }),
      { message: "a must be b" }
    ],
    ["plain text", "Internal Server Error\n", { message: "Internal Server Error" }],
    ["a JSON text", '"it broke"', { message: "it broke" }],
    [
      "HTML",
      "<html><head><title>502 Bad Gateway</title><style>a{}</style></head><body><h1>nginx</h1></body></html>",
      { message: "502 Bad Gateway nginx" }
    ],
    ["an object of no known form", '{"fault":{"x":1}}', { message: '{"fault":{"x":1}}' }],
    ["nothing", "", { message: undefined }],
    ["no words", '{"error":null}', { message: '{"error":null}' }],
    ["tags alone", "<html></html>", { message: undefined }],
    ["a number", "42", { message: undefined }]
  ]
  for (const [engine, body, expected] of forms) {
    it(`${engine}`, () => {
      assert.deepStrictEqual(readEngineError(body), { ...nothing, message: undefined, ...expected })
    })
  }

  it("cuts what is too long, and is not led astray by depth", () => {
    assert.strictEqual(readEngineError("x".repeat(60_000)).message?.length, 2000)
    const deep = `${'{"error":'.repeat(30_000)}"x"${"}".repeat(30_000)}`
    assert.strictEqual(readEngineError(deep).message?.length, 2000)
  })
})

describe("isContextOverflow", () => {
  const sentences: ReadonlyArray<readonly [engine: string, sentence: string]> = [
    [
      "llama.cpp",
      "request (9000 tokens) exceeds the available context size (4096 tokens), try increasing it"
    ],
    [
      "llama.cpp of 2024",
      "the request exceeds the available context size. try increasing the context size or enable context shift"
    ],
    ["llama.cpp in the middle", "Context size has been exceeded."],
    [
      "llama.cpp, embeddings",
      "input (600 tokens) is too large to process. increase the physical batch size (current batch size: 512)"
    ],
    ["llama-cpp-python", "Requested tokens (5000) exceed context window of 4096"],
    [
      "OpenAI and vLLM",
      "This model's maximum context length is 4096 tokens. However, you requested 5000 tokens (4000 in the messages, 1000 in the completion). Please reduce the length of the messages or completion."
    ],
    [
      "vLLM, max_tokens",
      "'max_tokens' or 'max_completion_tokens' is too large: 9000. This model's maximum context length is 4096 tokens and your request has 10 input tokens (9000 > 4096 - 10)."
    ],
    [
      "vLLM, the engine",
      "The decoder prompt (length 5000) is longer than the maximum model length of 4096. Make sure that `max_model_len` is no smaller than the number of text tokens."
    ],
    [
      "vLLM of 2026",
      "You passed 5001 input tokens and requested 0 output tokens. However, the model's context length is only 4096 tokens"
    ],
    ["SGLang", "The input (5000 tokens) is longer than the model's context length (4096 tokens)."],
    [
      "SGLang, the sum",
      "Requested token count exceeds the model's maximum context length of 4096 tokens. You requested a total of 5000 tokens"
    ],
    [
      "TGI",
      "Input validation error: `inputs` tokens + `max_new_tokens` must be <= 4096. Given: 4090 `inputs` tokens and 20 `max_new_tokens`"
    ],
    ["TEI", "Input validation error: `inputs` must have less than 512 tokens. Given: 600"],
    ["MLX", "Prompt too long: 5000 tokens exceeds max context window of 4096 tokens"],
    [
      "LM Studio",
      "Trying to keep the first 5000 tokens when context the overflows. However, the model is loaded with context length of only 4096 tokens, which is not enough."
    ],
    ["Ollama", "the input length exceeds the context length"],
    ["TabbyAPI", "Request length 5000 is greater than max_seq_len 4096"],
    ["TensorRT-LLM", "Prompt length (5000) exceeds maximum input length (4096)"],
    ["LMDeploy", "input length 5000 exceeds the model's max session_len 4096"],
    ["mistral.rs", "Prompt sequence length greater than 4096"],
    ["Anthropic", "prompt is too long: 210000 tokens > 200000 maximum"],
    ["Gemini", "The input token count (5000) exceeds the maximum number of tokens allowed (4096)."]
  ]
  for (const [engine, sentence] of sentences) {
    it(`${engine}`, () => {
      assert.isTrue(isContextOverflow(readEngineError(json({ error: sentence }))))
    })
  }

  it("by code and by type, whatever the sentence", () => {
    for (const error of [
      { message: "x", code: "context_length_exceeded" },
      { message: "x", type: "exceed_context_size_error", code: 400 }
    ]) {
      assert.isTrue(isContextOverflow(readEngineError(json({ error }))))
    }
  })

  it("not of other errors", () => {
    for (const sentence of [
      "max_tokens must be at least 1",
      "This server does not support embeddings. Start it with `--embeddings`",
      "The context is empty",
      "Conversation roles must alternate user/assistant/user/assistant/...",
      "request too large: 20 images",
      "the body exceeds 16 MB"
    ]) {
      assert.isFalse(
        isContextOverflow(readEngineError(json({ error: { message: sentence, code: 400 } }))),
        sentence
      )
    }
  })
})

describe("errorInEvent", () => {
  const found = (data: string) => (mayBeError(data) ? errorInEvent(data) : undefined)

  it("finds an error in each form", () => {
    for (const [data, message] of [
      [json({ error: { code: 500, message: "a", type: "server_error" } }), "a"],
      ['{ "error" : {"message":"b"} }', "b"],
      [json({ object: "error", message: "c", code: 400 }), "c"],
      [json({ error: "d", error_type: "generation" }), "d"],
      [json({ detail: "e" }), "e"],
      [json({ type: "error", error: { type: "api_error", message: "f" } }), "f"],
      // OpenRouter's, beside an empty choice.
      [json({ id: "1", error: { code: 502, message: "g" }, choices: [{ delta: { content: "" } }] }), "g"]
    ] as const) {
      assert.strictEqual(found(data)?.message, message)
    }
  })

  it("takes no part of an answer for one", () => {
    for (const data of [
      json({ choices: [{ delta: { content: '{"error":{"message":"mine"}}' } }] }),
      json({ error: null, choices: [{ text: "x" }] }),
      json({ usage: { prompt_tokens: 1 }, choices: [] }),
      json({ usage: { prompt_tokens: 1 } }),
      json({ object: "list", data: [{ embedding: [1] }] }),
      "not JSON"
    ]) {
      assert.isUndefined(found(data), data)
    }
  })
})
