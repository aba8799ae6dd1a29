import type { Value } from "./GgufHeader.ts"

/** The properties of a model that determine the abilities of its workers. */
export interface ModelTraits {
  readonly chatTemplate: boolean
  /** The purpose of the model; `embeddings` and `rerank` models generate no text. */
  readonly purpose: "text" | "embeddings" | "rerank"
  /** Whether the chat template supports reasoning. */
  readonly reasons: boolean
  /** Whether the chat template mentions tools; any other template omits the tools of a request. */
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

// `enum llama_pooling_type` of llama.cpp: 0 is no pooling, 1 to 3 create one vector per text, 4 is for ranking.
const rank = 4

const purposeOf = (metadata: ReadonlyMap<string, Value>, architecture: string): ModelTraits["purpose"] => {
  const pooling = metadata.get(`${architecture}.pooling_type`)
  if (pooling === rank) return "rerank"
  const isPooled = typeof pooling === "number" && pooling > 0 && pooling < rank
  const isCausal = metadata.get(`${architecture}.attention.causal`) !== false
  return isPooled || !isCausal || encoders.has(architecture) ? "embeddings" : "text"
}

/** The traits that a chat template determines; an empty text means no template. */
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
  // Some models have a separate template for requests with tools, which llama.cpp then uses.
  const tools = traits.tools || metadata.has("tokenizer.chat_template.tool_use")
  return { ...traits, tools, purpose: purposeOf(metadata, architecture) }
}
