import { assert, describe, it } from "@effect/vitest"
import { makeLlama } from "../../../src/hive/engines/Llama.ts"
import { makeLlamaServer } from "../../../src/hive/engines/LlamaServer.ts"
import { makeTemplate } from "../../../src/hive/engines/Template.ts"
import { makeVllm } from "../../../src/hive/engines/Vllm.ts"
import type { WorkerSpec } from "../../../src/hive/engines/WorkerSpec.ts"
import { traitsOf } from "../../../src/hive/gguf/GgufTraits.ts"

const spec: WorkerSpec = {
  id: "m-1",
  model: "m",
  modelPath: "/models/m.gguf",
  worker: "cpu",
  engine: "llama-server",
  backend: "cpu",
  device: 0,
  contextSize: 4096,
  parallel: 1,
  threads: 1,
  memoryBytes: 1
}

const template = "tokenizer.chat_template"
const chatting = traitsOf(new Map([[template, "{% for m in messages %}"]]), "llama")
const bare = traitsOf(new Map(), "llama")
const embedding = traitsOf(new Map(), "bert")

describe("traitsOf", () => {
  it("distinguishes text models from embedding and rerank models", () => {
    const purposes = [
      [new Map(), "llama", "text"],
      [new Map([["llama.pooling_type", 0]]), "llama", "text"],
      [new Map(), "nomic-bert", "embeddings"],
      [new Map([["qwen3.pooling_type", 3]]), "qwen3", "embeddings"],
      [new Map([["qwen3.pooling_type", 4]]), "qwen3", "rerank"],
      [new Map([["llama.attention.causal", false]]), "llama", "embeddings"]
    ] as const
    for (const [metadata, architecture, purpose] of purposes) {
      assert.strictEqual(traitsOf(new Map<string, number | boolean>(metadata), architecture).purpose, purpose)
    }
    const reasoning = traitsOf(new Map([[template, "{% if enable_thinking %}<think>"]]), "qwen3")
    assert.deepStrictEqual([reasoning.reasons, chatting.reasons], [true, false])
  })

  it("finds tool support in the chat template", () => {
    const templates = [
      ["{%- if tools %}{{ tools | tojson }}{% endif %}", true],
      ["{% if available_tools is defined %}", true],
      ["{{ functions }}", true],
      ["{% if message.tool_calls %}", true],
      ["{% for message in messages %}{{ '<|im_start|>' + message['role'] }}{% endfor %}", false],
      ["{% if messages[0].role != 'user' %}{{ raise_exception('no') }}{% endif %}", false]
    ] as const
    for (const [text, expected] of templates) {
      assert.strictEqual(traitsOf(new Map([[template, text]]), "llama").tools, expected, text)
    }
    const both = new Map([
      [template, "{{ messages }}"],
      [`${template}.tool_use`, "{{ tools }}"]
    ])
    assert.deepStrictEqual([traitsOf(both, "llama").tools, bare.tools], [true, false])
  })
})

describe("what an engine can do", () => {
  it("follows from the model for the built-in engine", () => {
    const of = makeLlama("llama", "worker.js", "/engines", []).capabilities
    assert.deepInclude(of?.(chatting), { chat: true, completions: true, embeddings: true, tools: false })
    assert.deepInclude(of?.(bare), { chat: false, completions: true, images: false, json_schema: true })
    assert.deepInclude(of?.(embedding), { chat: false, completions: false, embeddings: true })
  })

  it("follows from the model and the flags for llama-server, which gets --embeddings for an embedding model", () => {
    const server = (args: ReadonlyArray<string>) => makeLlamaServer("llama-server", "/bin/ls", "", { args })
    const plain = server([])
    assert.deepInclude(plain.capabilities?.(bare), { chat: true, embeddings: false, images: false })
    const calling = { ...chatting, tools: true }
    const toolsWith = (traits: typeof bare, ...args: ReadonlyArray<string>) =>
      server(args).capabilities?.(traits).tools
    assert.deepStrictEqual([toolsWith(calling), toolsWith(calling, "--no-jinja")], [true, false])
    assert.deepStrictEqual([toolsWith(chatting), toolsWith(bare)], [false, false])
    assert.deepStrictEqual(
      [toolsWith(chatting, "--chat-template", "x"), toolsWith(bare, "--chat-template-file=x.jinja")],
      [true, true]
    )
    assert.strictEqual(server(["--mmproj", "x.gguf"]).capabilities?.(chatting).images, true)
    assert.strictEqual(server(["--embeddings"]).capabilities?.(chatting).embeddings, true)
    const argsFor = (traits: typeof bare, args: ReadonlyArray<string>) => {
      const engine = server(args)
      const capabilities = engine.capabilities?.(traits) ?? {}
      const command = engine.command({ ...spec, capabilities }, 1)
      return command.args.filter((arg) => arg.startsWith("--embedding")).length
    }
    assert.deepStrictEqual(
      [argsFor(embedding, []), argsFor(embedding, ["--embedding"]), argsFor(chatting, [])],
      [1, 1, 0]
    )
  })

  it("follows from the settings, and is unknown otherwise", () => {
    const command = ["engine"] as const
    assert.deepStrictEqual(makeTemplate("mine", { command }).capabilities?.(chatting), {})
    const said = makeTemplate("mine", { command, capabilities: ["chat", "tools"] }).capabilities?.(chatting)
    assert.deepInclude(said, { chat: true, tools: true, images: false, embeddings: false })
    assert.deepStrictEqual(makeVllm("vllm", "/bin/vllm", {}).capabilities?.(chatting), {})
    const args = ["--enable-auto-tool-choice"]
    assert.deepStrictEqual(makeVllm("vllm", "/bin/vllm", { args }).capabilities?.(chatting), { tools: true })
  })
})
