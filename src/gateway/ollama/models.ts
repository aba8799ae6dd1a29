import type { Capability } from "../../operation/Capabilities.ts"
import type { ServedModel, ServingWorker } from "../upstream/Upstream.ts"

const sizes: ReadonlyArray<readonly [number, string]> = [
  [1e12, "T"],
  [1e9, "B"],
  [1e6, "M"],
  [1e3, "K"]
]

const shortName = (count: number) => {
  const [unit = 1, letter = ""] = sizes.find(([unit]) => count >= unit) ?? []
  return `${Math.round((count / unit) * 10) / 10}${letter}`
}

const digestOf = ({ facts }: ServedModel) => facts.sha256 ?? ""

const detailsOf = ({ facts: { architecture, created, id, parameters, quantisation } }: ServedModel) => ({
  // A model that was created from itself, to change its defaults, has no parent.
  parent_model: created === undefined || created.from === id ? "" : created.from,
  format: "gguf",
  family: architecture,
  families: [architecture],
  parameter_size: shortName(parameters),
  quantization_level: quantisation
})

const modifiedAt = ({ facts }: ServedModel) => facts.downloaded_at ?? "1970-01-01T00:00:00Z"

/**
 * The capabilities of a model in Ollama's terms, derived from the engines that may serve it. `embedding` is only listed for
 * models that cannot generate text; older hives report no capabilities, so their models get `completion`.
 */
const capabilitiesOf = ({ alias, facts: { engines = [] } }: ServedModel) => {
  const usable = engines.filter(({ name }) => alias?.engine === undefined || name === alias.engine)
  if (usable.length === 0) return ["completion"]
  const has = (capability: Capability) => usable.some(({ capabilities }) => capabilities[capability] === true)
  const lacks = (capability: Capability) =>
    usable.every(({ capabilities }) => capabilities[capability] === false)
  const generates = !lacks("completions") || !lacks("chat")
  return [
    ...(generates ? ["completion"] : []),
    ...(has("tools") ? ["tools"] : []),
    ...(has("images") ? ["vision"] : []),
    ...(has("reasoning") ? ["thinking"] : []),
    ...(!generates && has("embeddings") ? ["embedding"] : [])
  ]
}

/** `GET /api/tags`. */
export const tags = (models: ReadonlyArray<ServedModel>) => ({
  models: models.map((model) => ({
    name: model.name,
    model: model.name,
    modified_at: modifiedAt(model),
    size: model.facts.size_bytes,
    digest: digestOf(model),
    details: detailsOf(model),
    capabilities: capabilitiesOf(model)
  }))
})

const valuesOf = (value: unknown) =>
  (Array.isArray(value) ? value : [value]).map((item) => JSON.stringify(item))

/** The parameters of a model in Ollama's format, one per line. */
const parameterLines = ({ facts: { created } }: ServedModel) =>
  Object.entries(created?.parameters ?? {}).flatMap(([name, value]) =>
    value === null || value === undefined ? [] : valuesOf(value).map((text) => `${name} ${text}`)
  )

const modelfile = (model: ServedModel) => {
  const { messages = [], system, template } = model.facts.created ?? {}
  const quoted = (text: string) => `"""${text}"""`
  return [
    `FROM ${model.facts.created?.from ?? model.id}`,
    ...(template === undefined ? [] : [`TEMPLATE ${quoted(template)}`]),
    ...parameterLines(model).map((line) => `PARAMETER ${line}`),
    ...(system === undefined ? [] : [`SYSTEM ${quoted(system)}`]),
    ...messages.map(({ content, role }) => `MESSAGE ${role} ${quoted(content)}`),
    ""
  ].join("\n")
}

/** `POST /api/show`. */
export const show = (model: ServedModel) => {
  const { architecture, chat_template, created, parameters } = model.facts
  return {
    license: created?.license ?? "",
    modelfile: modelfile(model),
    parameters: parameterLines(model).join("\n"),
    template: created?.template ?? (chat_template ? "{{ .Messages }}" : "{{ .Prompt }}"),
    ...(created?.system === undefined ? {} : { system: created.system }),
    ...(created?.messages === undefined ? {} : { messages: created.messages }),
    details: detailsOf(model),
    model_info: {
      "general.architecture": architecture,
      "general.basename": model.name,
      "general.parameter_count": parameters,
      [`${architecture}.context_length`]: model.contextSize
    },
    capabilities: capabilitiesOf(model),
    modified_at: modifiedAt(model)
  }
}

// The latest time that 64-bit nanoseconds can represent.
const farFuture = "2262-04-11T23:47:16Z"

/**
 * `GET /api/ps`: the loaded workers of these models, named by the model's id if visible, otherwise by an alias. The stop time
 * of a worker is unknown, so it expires in the far future.
 */
export const loaded = (models: ReadonlyArray<ServedModel>, workers: ReadonlyArray<ServingWorker>) => ({
  models: workers.flatMap(({ worker }) => {
    const names = models.filter(({ id }) => id === worker.model_id)
    const model = names.find(({ alias }) => alias === undefined) ?? names[0]
    if (model === undefined || (worker.state !== "ready" && worker.state !== "busy")) return []
    return [
      {
        name: model.name,
        model: model.name,
        size: worker.memory_bytes,
        size_vram: worker.device.toLowerCase().startsWith("cpu") ? 0 : worker.memory_bytes,
        digest: digestOf(model),
        details: detailsOf(model),
        expires_at: farFuture,
        context_length: worker.context_size
      }
    ]
  })
})
