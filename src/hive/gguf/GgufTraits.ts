import type { Value } from "./GgufHeader.ts"

/** What of a model decides what its workers can do. */
export interface ModelTraits {
  readonly chatTemplate: boolean
  /** What the model is for; `embeddings` and `rerank` generate no text. */
  readonly purpose: "text" | "embeddings" | "rerank"
  /** Whether its chat template has a place for reasoning. */
  readonly reasons: boolean
  /** Whether its chat template mentions tools; one that does not drops the tools of a request. */
  readonly tools: boolean
}

/** Architectures of llama.cpp that encode a text and cannot continue one. */
const encoders: ReadonlySet<string> = new Set([
  "bert",
  "eurobert",
  "gemma-embedding",
  "jina-bert-v2",
  "jina-bert-v3",
  "modern-bert",
  "neo-bert",
  "nomic-bert",
  "nomic-bert-moe",
  "t5encoder"
])

// `enum llama_pooling_type` of llama.cpp: 0 pools nothing, 1 to 3 make one vector of a text, 4 makes a rank.
const rank = 4

const purposeOf = (metadata: ReadonlyMap<string, Value>, architecture: string): ModelTraits["purpose"] => {
  const pooling = metadata.get(`${architecture}.pooling_type`)
  if (pooling === rank) return "rerank"
  const isPooled = typeof pooling === "number" && pooling > 0 && pooling < rank
  const isCausal = metadata.get(`${architecture}.attention.causal`) !== false
  return isPooled || !isCausal || encoders.has(architecture) ? "embeddings" : "text"
}

/** The traits that a model has from its chat template; the empty text stands for none. */
export const templateTraits = (template: string): Omit<ModelTraits, "purpose"> => ({
  chatTemplate: template !== "",
  reasons: /<think>|enable_thinking|reasoning_content/.test(template),
  // Templates call them tools, tool_calls, available_tools, or functions.
  tools: /tool|function/i.test(template)
})

/** The traits of a model, from the metadata of its file. */
export const traitsOf = (metadata: ReadonlyMap<string, Value>, architecture: string): ModelTraits => {
  const template = metadata.get("tokenizer.chat_template")
  const traits = templateTraits(typeof template === "string" ? template : "")
  // Some models have a template of its own for requests with tools, which llama.cpp then takes.
  const tools = traits.tools || metadata.has("tokenizer.chat_template.tool_use")
  return { ...traits, tools, purpose: purposeOf(metadata, architecture) }
}
