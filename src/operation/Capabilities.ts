import * as Schema from "effect/Schema"
import { failureStatus } from "./failureStatus.ts"

/** A feature of a model with an engine. `completions` continues a text; `tools` is tool calling. */
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

/** The capabilities of a worker with its model. An absent capability is unknown; requests may use it. */
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

/** The first needed capability that a worker is known to lack; undefined if it may have all of them. */
export const missingCapability = (
  needed: ReadonlyArray<Capability>,
  capabilities: Capabilities | undefined
): Capability | undefined => needed.find((capability) => capabilities?.[capability] === false)

/** Whether an engine is known to have every needed capability that another engine lacks, and is not known to lack any. */
export const canReplace = (
  needed: ReadonlyArray<Capability>,
  lacking: Capabilities,
  other: Capabilities
): boolean =>
  missingCapability(needed, other) === undefined &&
  needed.every((capability) => lacking[capability] !== false || other[capability] === true)

/** The capability that excludes all of the engines: preferably one that every engine lacks. */
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

/** Capabilities of which exactly the named ones are true and all others false. */
export const onlyCapabilities = (names: ReadonlyArray<Capability>): Capabilities =>
  Object.fromEntries(Capability.literals.map((name) => [name, names.includes(name)]))

const advice: Readonly<Record<Capability, string>> = {
  chat: "cannot chat: it has no chat template or is an embedding model; use /v1/completions or another model",
  completions: "cannot complete text: it is an embedding model; use /v1/embeddings or another model",
  embeddings: "cannot create embeddings with these engines; use an embedding model or the built-in engine",
  rerank: "cannot rerank; use a reranking model and an engine that serves it",
  tools:
    "cannot call tools: its chat template does not support tools, or only the built-in engine is available, which does not support tool calls; use llama-server or vLLM with a model whose template supports tools, or send the request without tools",
  images: "does not accept images; use a model with a vision projector, or send text only",
  json_schema:
    "cannot be constrained to a JSON schema by these engines; send the request without response_format",
  reasoning: "does not support reasoning; send the request without it"
}

const fields: Readonly<Partial<Record<Capability, string>>> = {
  chat: "messages",
  completions: "prompt",
  embeddings: "input",
  images: "messages",
  json_schema: "response_format",
  tools: "tools"
}

/** No engine for the model has a capability that the request needs. */
export class CapabilityMissing extends Schema.TaggedError<CapabilityMissing>()(
  "CapabilityMissing",
  { model: Schema.String, capability: Capability },
  { httpApiStatus: failureStatus.CapabilityMissing }
) {
  override get message() {
    return `Model '${this.model}' ${advice[this.capability]}`
  }
  /** The error with OpenAI's code and the name of the request's field. */
  get failure() {
    const engine = {
      type: "invalid_request_error",
      param: fields[this.capability] ?? null,
      code: "unsupported_parameter"
    }
    return { code: this._tag, message: this.message, details: { engine } }
  }
}
