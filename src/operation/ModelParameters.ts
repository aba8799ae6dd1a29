import * as Schema from "effect/Schema"

const optional = <S extends Schema.Constraint>(schema: S) => Schema.optionalKey(Schema.NullOr(schema))

// A 64-bit seed is beyond the safe integers, so Schema.Int would reject it.
const WholeNumber = Schema.Finite.check(
  Schema.makeFilter((value) => Number.isInteger(value) || "Expected an integer")
)

/** The parameters of a model or a request, by Ollama's names. Parameters that configure loading have no effect. */
export const ModelParameters = Schema.Struct({
  num_predict: optional(WholeNumber),
  num_ctx: optional(WholeNumber),
  stop: optional(Schema.Union([Schema.String, Schema.Array(Schema.String)])),
  temperature: optional(Schema.Finite),
  top_p: optional(Schema.Finite),
  top_k: optional(WholeNumber),
  min_p: optional(Schema.Finite),
  typical_p: optional(Schema.Finite),
  seed: optional(WholeNumber),
  presence_penalty: optional(Schema.Finite),
  frequency_penalty: optional(Schema.Finite),
  repeat_penalty: optional(Schema.Finite),
  repeat_last_n: optional(WholeNumber),
  mirostat: optional(WholeNumber),
  mirostat_tau: optional(Schema.Finite),
  mirostat_eta: optional(Schema.Finite)
})
export type ModelParameters = typeof ModelParameters.Type

/** Ollama parameters that configure loading, or that Ollama no longer supports. */
export const ignoredParameters: ReadonlySet<string> = new Set([
  "f16_kv",
  "low_vram",
  "main_gpu",
  "num_batch",
  "num_gpu",
  "num_gqa",
  "num_keep",
  "num_thread",
  "numa",
  "penalize_newline",
  "tfs_z",
  "use_mlock",
  "use_mmap",
  "vocab_only"
])

const isPresent = (value: number | null | undefined): value is number => value !== undefined && value !== null

const from = (minimum: number, value: number | null | undefined) =>
  isPresent(value) && value >= minimum ? value : undefined

/**
 * Translates the parameters to the engines' names, with Ollama's meaning: `num_predict` below 1 is no limit, a negative
 * `seed` is random, a negative `top_k` is 0 (all tokens), and empty stop sequences are ignored.
 */
export const samplingFields = (
  parameters: ModelParameters | null | undefined
): { readonly [field: string]: unknown } => {
  const { num_ctx: _context, num_predict, repeat_penalty, seed, stop, top_k, ...others } = parameters ?? {}
  const stops = (typeof stop === "string" ? [stop] : (stop ?? [])).filter((text) => text !== "")
  const fields = {
    ...others,
    max_tokens: from(1, num_predict),
    seed: from(0, seed),
    top_k: isPresent(top_k) ? Math.max(0, top_k) : undefined,
    stop: stops.length === 0 ? undefined : stops,
    repeat_penalty,
    // vLLM's name of the same parameter.
    repetition_penalty: repeat_penalty
  }
  return Object.fromEntries(
    Object.entries(fields).filter(([, value]) => value !== undefined && value !== null)
  )
}

/** The context length in the parameters, in tokens. */
export const contextOf = (parameters: ModelParameters | null | undefined) => from(1, parameters?.num_ctx)
