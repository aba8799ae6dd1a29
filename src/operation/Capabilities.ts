import * as Schema from "effect/Schema"

/** What an engine may be asked to do. `completions` continues a text; `tools` is the calling of tools. */
export const Capability = Schema.Literals([
  "chat",
  "completions",
  "embeddings",
  "rerank",
  "tools",
  "images",
  "json_schema",
  "reasoning"
])
export type Capability = typeof Capability.Type

const known = Schema.optionalKey(Schema.Boolean)

/** What a worker can do with its model. What is absent is not known: a request for it may be sent. */
export const Capabilities = Schema.Struct({
  chat: known,
  completions: known,
  embeddings: known,
  rerank: known,
  tools: known,
  images: known,
  json_schema: known,
  reasoning: known
})
export type Capabilities = typeof Capabilities.Type

/** The first of the capabilities that a worker is known not to have; nothing when it may have all of them. */
export const missingCapability = (
  needed: ReadonlyArray<Capability>,
  capabilities: Capabilities | undefined
): Capability | undefined => needed.find((capability) => capabilities?.[capability] === false)

/** Whether an engine is known to have what another one lacks, and lacks nothing else of what is needed. */
export const canReplace = (
  needed: ReadonlyArray<Capability>,
  lacking: Capabilities,
  other: Capabilities
): boolean =>
  missingCapability(needed, other) === undefined &&
  needed.every((capability) => lacking[capability] !== false || other[capability] === true)

/** The capability for which none of several engines will do: one that all of them lack, where there is such a one. */
export const missingEverywhere = (
  needed: ReadonlyArray<Capability>,
  engines: ReadonlyArray<{ readonly capabilities: Capabilities }>
): Capability | undefined => {
  const [first] = engines
  const lackedByAll = needed.find((capability) =>
    engines.every(({ capabilities }) => capabilities[capability] === false)
  )
  return engines.length === 0 ? undefined : (lackedByAll ?? missingCapability(needed, first?.capabilities))
}

/** Exactly these capabilities, and no others. */
export const onlyCapabilities = (names: ReadonlyArray<Capability>): Capabilities =>
  Object.fromEntries(Capability.literals.map((name) => [name, names.includes(name)]))

const advice: Readonly<Record<Capability, string>> = {
  chat: "cannot chat: it has no chat template, or it makes embeddings only; use /v1/completions, or another model",
  completions: "cannot continue a text: it makes embeddings only; use /v1/embeddings, or another model",
  embeddings: "makes no embeddings with these engines; use an embedding model, or the built-in engine",
  rerank: "cannot rerank; use a reranking model, and an engine that serves it",
  tools:
    "cannot call tools: its chat template has no place for them, or only the built-in engine is there, which has no tool calls; use a model whose template has tools with llama-server or vLLM, or send the request without tools",
  images: "takes no images; use a model with a vision projector, or send text only",
  json_schema: "cannot be held to a JSON schema by these engines; send the request without response_format",
  reasoning: "has no reasoning; send the request without it"
}

const fields: Readonly<Partial<Record<Capability, string>>> = {
  chat: "messages",
  completions: "prompt",
  embeddings: "input",
  images: "messages",
  json_schema: "response_format",
  tools: "tools"
}

/** No engine that could serve the model can do what the request needs. */
export class CapabilityMissing extends Schema.TaggedError<CapabilityMissing>()(
  "CapabilityMissing",
  { model: Schema.String, capability: Capability },
  { httpApiStatus: 400 }
) {
  override get message() {
    return `Model '${this.model}' ${advice[this.capability]}`
  }
  /** The code and the field as OpenAI's clients know them. */
  get failure() {
    const engine = {
      type: "invalid_request_error",
      param: fields[this.capability] ?? null,
      code: "unsupported_parameter"
    }
    return { code: this._tag, message: this.message, details: { engine } }
  }
}
