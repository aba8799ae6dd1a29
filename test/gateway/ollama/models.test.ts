import { assert, describe, it } from "@effect/vitest"
import { loaded, show, tags } from "../../../src/gateway/ollama/models.ts"
import { publicModels, type ServingWorker } from "../../../src/gateway/upstream/Upstream.ts"
import type { StoredModel } from "../../../src/operation/Inventory.ts"
import { clientOf } from "../../support/endpointAnswers.ts"
import { storedModel } from "../../support/gateway.ts"

const qwen = {
  ...storedModel("hf:org/qwen:Q4"),
  architecture: "qwen2",
  parameters: 7_615_616_512,
  context_length: 32_768,
  quantisation: "Q4_K_M"
}
const { downloaded_at: _at, sha256: _sha256, ...adopted } = storedModel("adopted")
const models = publicModels(
  [{ hive: "atlas", models: [storedModel("rbee:tiny"), qwen, { ...adopted, chat_template: false }] }],
  { fast: { model: "hf:org/qwen:Q4" } }
)

const named = (wanted: string) => {
  const model = models.find(({ name }) => name === wanted)
  if (model === undefined) throw new Error(`there is no model ${wanted}`)
  return model
}

const qwenDetails = {
  parent_model: "",
  format: "gguf",
  family: "qwen2",
  families: ["qwen2"],
  parameter_size: "7.6B",
  quantization_level: "Q4_K_M"
}
const digest = "ab".repeat(32)

const worker = (more: Partial<ServingWorker["worker"]> = {}): ServingWorker => ({
  hive: "atlas",
  worker: {
    worker_id: "qwen-1",
    state: "ready",
    model_id: qwen.id,
    engine: "llama",
    device: "GPU-0",
    slots: 4,
    busy: 0,
    context_size: 4096,
    memory_bytes: 6_000_000_000,
    ...more
  }
})

describe("tags", () => {
  it("have every model under its public name, with what is known of its file", () => {
    assert.deepStrictEqual(tags([named("fast")]), {
      models: [
        {
          name: "fast",
          model: "fast",
          modified_at: "2026-01-02T03:04:05.000Z",
          size: 2_500_000,
          digest,
          details: qwenDetails,
          capabilities: ["completion"]
        }
      ]
    })
    assert.deepStrictEqual(
      tags(models).models.map(({ details, name }) => [name, details.parameter_size]),
      [
        ["fast", "7.6B"],
        ["rbee:tiny", "2.4M"],
        ["hf:org/qwen:Q4", "7.6B"],
        ["adopted", "2.4M"]
      ]
    )
  })

  it("say so little of an adopted file that a client still can read it", () => {
    assert.deepInclude(tags([named("adopted")]).models[0], {
      modified_at: "1970-01-01T00:00:00Z",
      digest: ""
    })
  })

  it("tell sizes in short", () => {
    const sizeOf = (parameters: number) =>
      tags([{ ...named("rbee:tiny"), facts: { ...qwen, parameters } }]).models[0]?.details.parameter_size
    assert.deepStrictEqual([999, 1500, 494_000_000, 1.5e12].map(sizeOf), ["999", "1.5K", "494M", "1.5T"])
  })
})

describe("show", () => {
  it("has the facts of the model's header", () => {
    assert.deepStrictEqual(show(named("fast")), {
      license: "",
      modelfile: "FROM hf:org/qwen:Q4\n",
      parameters: "",
      template: "{{ .Messages }}",
      details: qwenDetails,
      model_info: {
        "general.architecture": "qwen2",
        "general.basename": "fast",
        "general.parameter_count": 7_615_616_512,
        "qwen2.context_length": 512
      },
      capabilities: ["completion"],
      modified_at: "2026-01-02T03:04:05.000Z"
    })
    assert.strictEqual(show(named("adopted")).template, "{{ .Prompt }}")
  })
})

describe("ps", () => {
  it("has the workers that can answer, under the model's own name", () => {
    assert.deepStrictEqual(loaded(models, [worker()]), {
      models: [
        {
          name: "hf:org/qwen:Q4",
          model: "hf:org/qwen:Q4",
          size: 6_000_000_000,
          size_vram: 6_000_000_000,
          digest,
          details: qwenDetails,
          expires_at: "2262-04-11T23:47:16Z",
          context_length: 4096
        }
      ]
    })
    const states = ["starting", "ready", "busy", "draining", "failed", "stopped"]
    const workers = states.map((state) => worker({ state }))
    assert.lengthOf(loaded(models, workers).models, 2)
    assert.isEmpty(loaded(models, [worker({ model_id: "hf:org/gone" })]).models)
  })

  it("has nothing in video memory of a worker on a CPU", () => {
    assert.deepInclude(loaded(models, [worker({ device: "CPU-0" })]).models[0], {
      size: 6_000_000_000,
      size_vram: 0
    })
  })

  it("has a model under its alias for those who may use no other name", () => {
    assert.strictEqual(loaded([named("fast")], [worker()]).models[0]?.name, "fast")
  })

  it("expires in a year that 64 bits of nanoseconds still have", () => {
    const [model] = loaded(models, [worker()]).models
    const nanos = BigInt(Date.parse(model?.expires_at ?? "")) * 1_000_000n
    assert.isTrue(nanos > BigInt(Date.parse("2200-01-01")) * 1_000_000n && nanos < 2n ** 63n)
  })
})

describe("the official client", () => {
  const client = clientOf((path) => {
    if (path === "/api/tags") return JSON.stringify(tags(models))
    return JSON.stringify(path === "/api/ps" ? loaded(models, [worker()]) : show(named("fast")))
  })

  it("reads them", async () => {
    const listed = await client.list()
    assert.deepStrictEqual(
      listed.models.map(({ name }) => name),
      ["fast", "rbee:tiny", "hf:org/qwen:Q4", "adopted"]
    )
    assert.isFalse(Number.isNaN(Date.parse(String(listed.models[3]?.modified_at))))
    assert.strictEqual((await client.show({ model: "fast" })).details.family, "qwen2")
    assert.strictEqual((await client.ps()).models[0]?.size_vram, 6_000_000_000)
  })
})

describe("the capabilities of a model", () => {
  const model = (engines: StoredModel["engines"], engine?: string) => {
    const stored = { ...storedModel("m"), ...(engines === undefined ? {} : { engines }) }
    const aliases = engine === undefined ? {} : { a: { model: "m", engine } }
    const [first] = publicModels([{ hive: "atlas", models: [stored] }], aliases)
    if (first === undefined) throw new Error("there is no model")
    return first
  }
  const text = {
    chat: true,
    completions: true,
    embeddings: true,
    tools: false,
    images: false,
    reasoning: false
  }

  it("are those of the engines that may serve it", () => {
    const builtIn = { name: "llama", capabilities: text }
    const server = { name: "llama-server", capabilities: { ...text, tools: true, reasoning: true } }
    for (const [served, expected] of [
      [model(undefined), ["completion"]],
      [model([builtIn]), ["completion"]],
      [model([builtIn, server]), ["completion", "tools", "thinking"]],
      [model([builtIn, server], "llama"), ["completion"]],
      [model([{ name: "v", capabilities: { ...text, images: true } }]), ["completion", "vision"]],
      [model([{ name: "v", capabilities: {} }]), ["completion"]],
      [model([{ name: "llama", capabilities: { ...text, chat: false, completions: false } }]), ["embedding"]]
    ] as const) {
      assert.deepStrictEqual(show(served).capabilities, [...expected])
      assert.deepStrictEqual(tags([served]).models[0]?.capabilities, [...expected])
    }
  })
})
